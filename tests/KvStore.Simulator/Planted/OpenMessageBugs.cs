using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Network;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>Spoils messages of the dotted engine on their way out.</summary>
internal abstract class OpenMessageBug : OpenBug
{
    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Spoiler(this, node, transport);

    /// <summary>What goes out instead of a push; null: the push itself.</summary>
    protected virtual byte[]? Push(SimulatedNode from, NodeId to, ReplicateMessage message) => null;

    /// <summary>What goes out instead of a page of anti-entropy.</summary>
    protected virtual byte[]? Page(SimulatedNode from, NodeId to, PullPage page) => null;

    /// <summary>What goes out instead of a page of a full copy.</summary>
    protected virtual byte[]? Copy(SimulatedNode from, NodeId to, FullCopyPage page) => null;

    protected static byte[] Encode(PullAnswer answer, ActorId asker, IEnumerable<PulledKey> keys)
    {
        var output = new ArrayBufferWriter<byte>();
        VarInt.WriteByte(output, (byte)answer);
        VarInt.Write(output, asker.Value);
        foreach (PulledKey key in keys)
        {
            VarInt.WriteBytes(output, key.Key.Span);
            VarInt.Write(output, (ulong)key.Dots.Length);
            foreach (Dot dot in key.Dots)
            {
                VarInt.WriteDot(output, dot);
            }

            key.Object.Encode(output);
        }

        return output.WrittenSpan.ToArray();
    }

    protected static byte[] Encode(FullCopyPage page, ShardClock clock, IEnumerable<CopiedKey> keys)
    {
        var output = new ArrayBufferWriter<byte>();
        page.Request.Encode(output);
        VarInt.WriteBytes(output, page.Through.Span);
        VarInt.WriteByte(output, page.Last ? (byte)1 : (byte)0);
        clock.Encode(output);
        page.Capture.Unmapped.Encode(output);
        foreach (CopiedKey copied in keys)
        {
            VarInt.WriteBytes(output, copied.Key.Span);
            copied.Object.Fill(clock.BaseVector).Encode(output);
        }

        return output.WrittenSpan.ToArray();
    }

    private sealed class Spoiler(OpenMessageBug bug, SimulatedNode node, IPeerTransport inner) : TransportDecorator(inner)
    {
        public override void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload)
        {
            byte[] sent = payload.ToArray();
            byte[]? instead = kind switch
            {
                DottedMessageKind.Replicate => bug.Push(node, to, ReplicateMessage.Decode(sent)),
                DottedMessageKind.PullPage => bug.Page(node, to, PullPage.Decode(sent)),
                DottedMessageKind.FullCopyPage => bug.Copy(node, to, FullCopyPage.Decode(sent)),
                _ => null,
            };
            base.Send(shard, to, kind, instead ?? sent);
        }
    }
}

/// <summary>The first key of a page comes with the dots of all of them, and the others with the next page.</summary>
internal sealed class ClockBeforePage : OpenMessageBug
{
    public override string Name => "clock-before-page";

    public override string StandsFor => "A clock that is advanced by the whole difference with the first page: what comes with the others is never asked for again if they are lost (C4).";

    public override string ExpectedBy => "EqualOpenViews, AcknowledgedOpenWrites";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => MuchHealing(drawn);

    protected override byte[]? Page(SimulatedNode from, NodeId to, PullPage page)
    {
        if (page.Keys.Count < 2)
        {
            return null;
        }

        Dot[] all = [.. page.Keys.SelectMany(key => key.Dots).Order()];
        PulledKey first = page.Keys[0];
        return Encode(page.Answer, page.Asker, [first with { Dots = all, Object = first.Object.Fill(VersionVector.Of(all)) }]);
    }
}

/// <summary>A delete goes out with its own dot and without what it superseded.</summary>
internal sealed class DeleteWithoutContext : OpenMessageBug
{
    public override string Name => "delete-without-context";

    public override string StandsFor => "A delete that is pushed bare: whoever counts its dot keeps the value that it deleted (C3).";

    public override string ExpectedBy => "EqualOpenViews, Convergence";

    protected override byte[]? Push(SimulatedNode from, NodeId to, ReplicateMessage message)
    {
        if (!message.Object.IsEmpty)
        {
            return null;
        }

        var output = new ArrayBufferWriter<byte>();
        ReplicateMessage.Encode(output, message.Operation, message.Key, message.Dot, DottedObject.Gone(VersionVector.Of(message.Dot)), message.Request);
        return output.WrittenSpan.ToArray();
    }
}

/// <summary>A page names the dots of deleted keys, and leaves the keys out.</summary>
internal sealed class DeletesLeftOutOfPage : OpenMessageBug
{
    public override string Name => "deletes-left-out-of-page";

    public override string StandsFor => "Anti-entropy that ships the keys that exist and takes the clock over: a delete never reaches whoever missed it (C4, riak_kv#1094).";

    public override string ExpectedBy => "EqualOpenViews, AcknowledgedOpenWrites";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => MuchHealing(drawn);

    protected override byte[]? Page(SimulatedNode from, NodeId to, PullPage page)
    {
        List<PulledKey> kept = [.. page.Keys.Where(key => !key.Object.IsEmpty)];
        if (kept.Count == 0 || kept.Count == page.Keys.Count)
        {
            return null;
        }

        Dot[] gone = [.. page.Keys.Where(key => key.Object.IsEmpty).SelectMany(key => key.Dots)];
        kept[0] = kept[0] with { Dots = [.. kept[0].Dots.Concat(gone).Order()], Object = kept[0].Object.Fill(VersionVector.Of(gone)) };
        return Encode(page.Answer, page.Asker, kept);
    }
}

/// <summary>A push arrives as it looks to a receiver that has counted its dot already.</summary>
internal sealed class ValueDroppedByFill : OpenMessageBug
{
    private const int Rarity = 5;

    public override string Name => "value-dropped-by-fill";

    public override string StandsFor => "A receiver that counts the incoming dot and then fills its own object with the clock: the incoming value looks like one that it has seen and dropped (C20).";

    public override string ExpectedBy => "EqualOpenViews, QuorumReads";

    protected override byte[]? Push(SimulatedNode from, NodeId to, ReplicateMessage message)
    {
        if (message.Object.IsEmpty || !OneIn(Rarity))
        {
            return null;
        }

        var output = new ArrayBufferWriter<byte>();
        ReplicateMessage.Encode(output, message.Operation, message.Key, message.Dot, message.Object.Discard(VersionVector.Of(message.Dot)));
        return output.WrittenSpan.ToArray();
    }
}

/// <summary>A page of a full copy leaves with a clock that is newer than its objects.</summary>
internal sealed class ClockAfterObjects : OpenMessageBug
{
    private readonly Dictionary<NodeId, ShardClock> _told = [];

    public override string Name => "clock-after-objects";

    public override string StandsFor => "A full copy whose clock is captured when its objects have been read: what was written in between looks as if it had been deleted (C3).";

    public override string ExpectedBy => "EqualOpenViews, AcknowledgedOpenWrites, Progress";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyCopies(drawn);

    /// <summary>The source's pushes tell what it has written. Those that came after the scan began belong to the newer clock.</summary>
    protected override byte[]? Push(SimulatedNode from, NodeId to, ReplicateMessage message)
    {
        if (!_told.TryGetValue(from.Id, out ShardClock? told))
        {
            _told[from.Id] = told = new ShardClock();
        }

        told.AdvanceBase(message.Dot.Actor, message.Dot.Counter);
        return null;
    }

    protected override byte[]? Copy(SimulatedNode from, NodeId to, FullCopyPage page)
    {
        if (!_told.TryGetValue(from.Id, out ShardClock? told))
        {
            return null;
        }

        ShardClock later = page.Capture.Clock.Clone();
        later.Join(told);
        return Encode(page, later, page.Keys);
    }
}

/// <summary>A page of a full copy lacks one of its keys.</summary>
internal sealed class CopiedKeyLeftOut : OpenMessageBug
{
    public override string Name => "copied-key-left-out";

    public override string StandsFor => "A range that is copied with a gap in it: what is absent in a range counts as deleted.";

    public override string ExpectedBy => "EqualOpenViews";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyCopies(drawn);

    protected override byte[]? Copy(SimulatedNode from, NodeId to, FullCopyPage page) =>
        page.Keys.Count > 1 ? Encode(page, page.Capture.Clock, page.Keys.Skip(1)) : null;
}

/// <summary>A replica that can't name what another one lacks says that it lacks nothing.</summary>
internal sealed class FullCopyPassedOver : OpenMessageBug
{
    public override string Name => "full-copy-passed-over";

    public override string StandsFor => "A replica that is away for longer than hints or logs are kept, and is taken for up to date when it comes back.";

    public override string ExpectedBy => "Progress, EqualOpenViews";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyCopies(drawn);

    protected override byte[]? Page(SimulatedNode from, NodeId to, PullPage page) => page.Answer == PullAnswer.FullCopyNeeded ? Encode(PullAnswer.Complete, page.Asker, []) : null;
}

/// <summary>A coordinator counts a replica as soon as it has sent it the write.</summary>
internal sealed class CountedWhenSent : OpenMessageBug
{
    public override string Name => "counted-when-sent";

    public override string StandsFor => "A write that is acknowledged as held by a majority when it was sent to one, durable or not.";

    public override string ExpectedBy => "QuorumReads, AcknowledgedOpenWrites";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Quorums(drawn);

    protected override byte[]? Push(SimulatedNode from, NodeId to, ReplicateMessage message)
    {
        if (message.WantsAcknowledgement)
        {
            var output = new ArrayBufferWriter<byte>();
            new ReplicateAcknowledged(message.Operation, message.Dot.Actor, 0).Encode(output);
            byte[] bytes = output.WrittenSpan.ToArray();
            from.Post("counted", replica => replica.Receive(to, DottedMessageKind.ReplicateAcknowledged, bytes));
        }

        return null;
    }
}
