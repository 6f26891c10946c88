using System.Runtime.CompilerServices;
using Google.Protobuf;
using Grpc.Core;
using KvStore.Client.Operations;
using KvStore.Client.Routing;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>
/// One watch: a stream to one node after the other, each resumed where the last one ended. A node that can't resume is not the last word: others are asked before a gap is told.
/// </summary>
internal sealed class KeyspaceWatch(string keyspace, KvKey? key, ReadOnlyMemory<byte> prefix, KvWatchOptions watchOptions, KvClientOptions options, Dispatcher dispatcher, WatchChannels channels)
{
    private const string RefusalTrailer = "kvstore-refusal-bin";
    private const int MinPauseMs = 20;
    private const int MaxPauseMs = 1_000;

    private readonly WatchToken? _token = TokenOf(watchOptions);
    private bool _isHeard;

    public async IAsyncEnumerable<(WatchEvent Told, uint Node, WatchMark? Mark)> EventsAsync(KeyspaceRoute route, [EnumeratorCancellation] CancellationToken cancellation)
    {
        int[] shards = key is { } one ? [KeyRouting.ShardOf(one.Bytes.Span, route.Shards.Length)] : [.. Enumerable.Range(0, route.Shards.Length)];
        var progress = new WatchProgress(dispatcher.Map!.Public.ClusterId, route.Id, shards, _token);
        var nodes = new WatchNodes(route, shards, dispatcher.Random);
        long giveUpMs = dispatcher.Clock.NowMs + (long)(watchOptions.Timeout ?? options.DefaultTimeout).TotalMilliseconds;
        for (int failures = 0; ;)
        {
            KvMember member = nodes.Choose(dispatcher.Map!.Public) ?? throw new KvException($"watch in keyspace \"{keyspace}\": the topology names no node.", KvCode.Unavailable, KvPhase.Connecting, outcomeUnknown: false);
            using var connection = new WatchConnection(channels.To(member), RequestOf(progress), options.ConnectTimeout + options.AttemptTimeout, cancellation);
            string reason = "";
            while (reason.Length == 0 && await connection.NextAsync().ConfigureAwait(false) is { } batch)
            {
                failures = 0;
                _isHeard = true;
                nodes.OnHeard();
                foreach (WatchEvent told in batch.Events)
                {
                    if (told.Kind == WatchEventKind.Gap && progress.IsPromised(told.Shard) && progress.Resumed(told.Shard) && nodes.TryElsewhere(member.Node))
                    {
                        reason = "gap";
                        break;
                    }

                    bool isTold = IsTold(told, progress);
                    WatchMark? mark = told.Kind == WatchEventKind.Ended ? progress.Mark() : progress.Note(told);
                    if (told.Kind == WatchEventKind.Ended && told.Code != Code.WatchBehind)
                    {
                        reason = told.Code.ToString();
                        break;
                    }

                    if (told.Kind == WatchEventKind.Gap)
                    {
                        nodes.ForgetGaps();
                        WatchTelemetry.OnGap(keyspace);
                    }

                    if (isTold)
                    {
                        yield return (told, batch.Node, mark);
                    }

                    if (told.Kind == WatchEventKind.Ended)
                    {
                        yield break;
                    }
                }
            }

            if (reason != "gap")
            {
                nodes.OnFailed(member.Node);
                failures++;
            }

            reason = reason.Length > 0 ? reason : Judge(connection.Failure, member.Node, giveUpMs);
            WatchTelemetry.OnResumed(keyspace, reason);
            await PauseAsync(failures, cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>What the caller hears of: a gap before anything of a shard was promised is none, and that all is told is said once, when all shards have.</summary>
    private bool IsTold(WatchEvent told, WatchProgress progress)
    {
        switch (told.Kind)
        {
            case WatchEventKind.Progress:
                return watchOptions.TellProgress;
            case WatchEventKind.Gap:
                return progress.IsPromised(told.Shard);
            case WatchEventKind.CaughtUp:
                bool before = progress.IsCurrent;
                progress.Note(told);
                return !before && progress.IsCurrent;
            default:
                return true;
        }
    }

    private WatchRequest RequestOf(WatchProgress progress)
    {
        WatchRequest request = new() { Keyspace = keyspace, Token = progress.ForRequest(), InitialValues = watchOptions.InitialValues };
        if (key is { } one)
        {
            request.Key = ByteString.CopyFrom(one.Bytes.Span);
        }
        else
        {
            request.Prefix = ByteString.CopyFrom(prefix.Span);
        }

        return request;
    }

    /// <summary>Whether there is sense in another attempt. Returns the reason in a word.</summary>
    /// <exception cref="KvException">There is none.</exception>
    private string Judge(RpcException? failure, uint node, long giveUpMs)
    {
        Refusal? refusal = failure?.Trailers.GetValueBytes(RefusalTrailer) is { } bytes ? Refusal.Parser.ParseFrom(bytes) : null;
        KvCode code = refusal is not null ? (KvCode)refusal.Code : failure?.StatusCode == StatusCode.Unimplemented ? KvCode.Unsupported : KvCode.Unavailable;
        string why = refusal?.Reason ?? failure?.Status.Detail ?? "the node has ended the stream";
        bool final = code is KvCode.InvalidArgument or KvCode.LevelNotOffered or KvCode.Unsupported || (code == KvCode.UnknownKeyspace && _isHeard);
        return final || (!_isHeard && dispatcher.Clock.NowMs >= giveUpMs)
            ? throw new KvException(
                $"watch in keyspace \"{keyspace}\": {why.TrimEnd('.')} ({code}, node {node}). Nothing was changed.", code, refusal is null ? KvPhase.Connecting : KvPhase.Server, outcomeUnknown: false, node)
            : code.ToString();
    }

    private async ValueTask PauseAsync(int failures, CancellationToken cancellation)
    {
        if (failures == 0)
        {
            return;
        }

        int ceiling = Math.Min(MaxPauseMs, MinPauseMs << Math.Min(failures - 1, 8));
        await Task.Delay(TimeSpan.FromMilliseconds(dispatcher.Random.Next((ceiling + 1) / 2, ceiling + 1)), dispatcher.Clock.Time, cancellation).ConfigureAwait(false);
    }

    private static WatchToken? TokenOf(KvWatchOptions watchOptions)
    {
        if (watchOptions.FromToken is not { } text)
        {
            return null;
        }

        return WatchTokens.TryParse(text, out WatchToken token)
            ? token
            : throw new ArgumentException("The token is none of a watch's: pass one on as KvChange.Token told it.", nameof(watchOptions));
    }
}
