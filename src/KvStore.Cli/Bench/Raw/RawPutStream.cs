using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;

namespace KvStore.Cli.Bench.Raw;

/// <summary>
/// One connection to one node that sends puts and counts the answers as they come. Unlike the client it tries nothing again, has no window of unfinished writes and gives no request ids: what the node says is what is counted.
/// The call id of a put is the moment at which it was due, so that nothing has to be kept for it.
/// </summary>
internal sealed class RawPutStream : IAsyncDisposable
{
    private readonly GrpcChannel _channel;
    private readonly AsyncDuplexStreamingCall<RawFrame, RawFrame> _call;
    private readonly Task _reading;
    private readonly Lock _gate = new();
    private readonly Queue<FrameBuffer> _full = new();
    private readonly RawTally _tally;
    private FrameBuffer _filling = new(KvLimits.MaxMessageBytes);
    private int _fillingCount;
    private bool _sending;
    private int _inFlight;

    public RawPutStream(Uri address, string clusterId, RawTally tally)
    {
        _tally = tally;
        _channel = GrpcChannel.ForAddress(address, new GrpcChannelOptions { HttpHandler = new SocketsHttpHandler { UseProxy = false, UseCookies = false, ActivityHeadersPropagator = null }, DisposeHttpClient = true });
        _call = _channel.CreateCallInvoker().AsyncDuplexStreamingCall(PipelineMethods.Run, null, new CallOptions(new Metadata { { PipelineMethods.ClusterHeader, PipelineMethods.ClusterMarkOf(clusterId) } }));
        _reading = Task.Run(ReadAsync);
    }

    /// <summary>Sent, or waiting here to be sent, and not answered.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Called when so many answers have come at once. For closed loops, which then send as many.</summary>
    public Action<int>? Answered { get; set; }

    /// <summary>Adds a put to what is sent next.</summary>
    public void Add(in WireOperation put)
    {
        Interlocked.Increment(ref _inFlight);
        lock (_gate)
        {
            PipelineCodec.WriteOperation(_filling, put);
            if (++_fillingCount == KvLimits.MaxBatchOperations)
            {
                _full.Enqueue(_filling);
                (_filling, _fillingCount) = (new FrameBuffer(KvLimits.MaxMessageBytes), 0);
            }
        }
    }

    /// <summary>Sends what was added, unless a write is in flight, which will send it.</summary>
    public void Flush()
    {
        lock (_gate)
        {
            if (_sending || (_full.Count == 0 && _fillingCount == 0))
            {
                return;
            }

            _sending = true;
        }

        _ = Task.Run(SendAsync);
    }

    public async ValueTask DisposeAsync()
    {
        _call.Dispose();
        _channel.Dispose();
        await _reading;
    }

    private async Task SendAsync()
    {
        var frame = new RawFrame(default);
        try
        {
            while (TryTake(out var buffer))
            {
                using (buffer)
                {
                    frame.Bytes = buffer.WrittenMemory;
                    await _call.RequestStream.WriteAsync(frame);
                }
            }
        }
        catch (Exception exception) when (exception is RpcException or InvalidOperationException or OperationCanceledException)
        {
            // The read loop sees the same end, and counts what was never answered as such.
        }
    }

    private bool TryTake(out FrameBuffer buffer)
    {
        lock (_gate)
        {
            if (!_full.TryDequeue(out buffer!))
            {
                if (_fillingCount == 0)
                {
                    _sending = false;
                    return false;
                }

                buffer = _filling;
                (_filling, _fillingCount) = (new FrameBuffer(KvLimits.MaxMessageBytes), 0);
            }

            return true;
        }
    }

    private async Task ReadAsync()
    {
        try
        {
            while (await _call.ResponseStream.MoveNext(CancellationToken.None))
            {
                var answers = Count(_call.ResponseStream.Current.Bytes);
                Answered?.Invoke(answers);
            }
        }
        catch (Exception exception) when (exception is RpcException or IOException or OperationCanceledException)
        {
            // Over: on purpose, or the node hung up; then what is in flight stays unanswered.
        }
    }

    private int Count(ReadOnlyMemory<byte> frame)
    {
        var now = Stopwatch.GetTimestamp();
        var answers = 0;
        lock (_tally)
        {
            var reader = new ResultBatchReader(frame);
            while (reader.MoveNext(out var result))
            {
                answers++;
                _tally.Count(result, (now - (long)result.CallId) * 1_000_000 / Stopwatch.Frequency);
            }
        }

        Interlocked.Add(ref _inFlight, -answers);
        return answers;
    }
}
