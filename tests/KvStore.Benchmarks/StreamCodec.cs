using BenchmarkDotNet.Attributes;
using Google.Protobuf;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Benchmarks;

/// <summary>One put on the wire: the hand-written codec against generated code, both for the same bytes.</summary>
[MemoryDiagnoser]
public class StreamCodec
{
    private readonly FrameBuffer _buffer = new(4_096);
    private readonly byte[] _key = new byte[16];
    private readonly byte[] _value = new byte[100];
    private WireOperation _wire;
    private byte[] _encoded = null!;

    [GlobalSetup]
    public void Make()
    {
        _wire = new WireOperation { CallId = 7, Kind = OperationKind.Put, KeyspaceId = 3, Epoch = 1, Key = _key, Value = _value, Session = 99, Sequence = 12, AcknowledgedFloor = 3, TimeoutMs = 5_000 };
        WriteByHand();
        _encoded = _buffer.WrittenSpan.ToArray();
    }

    [Benchmark]
    public int WriteByHand()
    {
        _buffer.Clear();
        PipelineCodec.WriteOperation(_buffer, _wire);
        return _buffer.WrittenCount;
    }

    [Benchmark]
    public ulong ReadByHand()
    {
        var reader = new OperationBatchReader(_encoded);
        return reader.MoveNext(out WireOperation operation) ? operation.CallId : 0;
    }

    [Benchmark(Baseline = true)]
    public int WriteGenerated()
    {
        var batch = new OperationBatch();
        batch.Operations.Add(new Operation
        {
            CallId = 7,
            Kind = OperationKind.Put,
            KeyspaceId = 3,
            Epoch = 1,
            Key = UnsafeByteOperations.UnsafeWrap(_key),
            Value = UnsafeByteOperations.UnsafeWrap(_value),
            Request = new RequestId { Session = 99, Sequence = 12, AcknowledgedFloor = 3 },
            TimeoutMs = 5_000,
        });
        return batch.ToByteArray().Length;
    }

    [Benchmark]
    public ulong ReadGenerated() => OperationBatch.Parser.ParseFrom(_encoded).Operations[0].CallId;
}
