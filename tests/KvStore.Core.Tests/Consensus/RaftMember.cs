using System.Text;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Tests.Consensus;

/// <summary>What travels: a message, or a whole snapshot in place of its pages.</summary>
internal sealed record Envelope(RaftMessage Message, SnapshotContent? Snapshot);

internal sealed record SnapshotContent(LogIndex Index, Term Term, IReadOnlyList<Entry> Applied, MembershipConfig Members);

/// <summary>
/// One replica with a disk that works in order, and loses what it has not finished when the process dies. The host side of the contract in <see cref="Ready"/>.
/// </summary>
internal sealed class RaftMember
{
    private readonly RaftOptions _options;
    private readonly MembershipConfig _firstMembers;
    private readonly Queue<DiskWrite> _disk = new();
    private readonly Action<Envelope> _send;

    private HardState _durableHardState;
    private LogIndex _durableBoundary;
    private Term _durableBoundaryTerm;
    private List<Entry> _durableLog = [];
    private List<Entry> _durableView = [];
    private List<Entry> _lost = [];
    private bool _markedDamaged;

    public RaftMember(ReplicaId id, RaftOptions options, MembershipConfig members, Random random, Action<Envelope> send, HardState hardState = default, IEnumerable<Entry>? log = null)
    {
        Id = id;
        _options = options;
        _firstMembers = members;
        _send = send;
        _durableHardState = hardState;
        _durableLog = [.. log ?? []];
        Node = Start(random);
    }

    public ReplicaId Id { get; }

    public RaftNode Node { get; private set; }

    public bool Up { get; private set; } = true;

    /// <summary>All entries applied, from index 1 on.</summary>
    public List<Entry> Applied { get; private set; } = [];

    public Queue<Entry> ToApply { get; } = new();

    public bool HasDiskWork => _disk.Count > 0;

    public List<ReadState> Reads { get; } = [];

    public List<Entry> Replaced { get; } = [];

    public Action<string> Log { get; set; } = _ => { };

    /// <summary>Whether the entry is durable here, or was before damage: the group may count on it until it hears of that, and the replica gives no vote until it has it again.</summary>
    public bool HoldsDurably(Entry entry)
    {
        if (entry.Index.Value <= (ulong)_lost.Count && _lost[(int)entry.Index.Value - 1].Term == entry.Term)
        {
            return true;
        }

        if (entry.Index <= new LogIndex((ulong)_durableView.Count))
        {
            return _durableView[(int)entry.Index.Value - 1].Term == entry.Term;
        }

        int at = (int)((long)entry.Index.Value - (long)_durableBoundary.Value) - 1;
        return at < 0 || (at < _durableLog.Count && _durableLog[at].Term == entry.Term);
    }

    /// <summary>Takes a Ready, sends what may be sent, and queues the rest at the disk.</summary>
    public bool Process()
    {
        if (!Up || !Node.HasReady)
        {
            return false;
        }

        Ready ready = Node.TakeReady();
        Describe(ready);
        foreach (ref readonly RaftMessage message in ready.MessagesNow)
        {
            Send(message);
        }

        Replaced.AddRange(ready.ReplacedEntries);
        foreach (Entry entry in ready.Committed.Span)
        {
            ToApply.Enqueue(entry);
        }

        Reads.AddRange(ready.ReadStates);
        Entry[] entries = ready.EntriesToPersist.ToArray();
        if (entries.Length > 0 || ready.HardState is not null || ready.MessagesAfterPersist.Length > 0)
        {
            _disk.Enqueue(new DiskWrite(ready.HardState, entries, ready.MessagesAfterPersist.ToArray(), null));
        }

        ReplicaId[] snapshots = ready.SnapshotsWanted.ToArray();
        foreach (ReplicaId to in snapshots)
        {
            SendSnapshot(to);
        }

        return true;
    }

    /// <summary>The oldest write becomes durable, and what waited for it happens.</summary>
    public bool PersistOne()
    {
        if (!Up || !_disk.TryDequeue(out DiskWrite? write))
        {
            return false;
        }

        if (_markedDamaged && !Node.IsQuarantined)
        {
            // The mark goes with the first write after the repair.
            _markedDamaged = false;
            _lost = [];
        }

        if (write.Install is { } envelope)
        {
            SnapshotContent content = envelope.Snapshot!;
            _durableLog = [];
            _durableBoundary = content.Index;
            _durableBoundaryTerm = content.Term;
            _durableView = [.. content.Applied];
            Applied = [.. content.Applied];
            Node.OnSnapshotInstalled(content.Index, content.Term, envelope.Message.From, envelope.Message.Term, content.Members);
            return true;
        }

        _durableHardState = write.HardState ?? _durableHardState;
        foreach (Entry entry in write.Entries)
        {
            int at = (int)(entry.Index - _durableBoundary) - 1;
            _durableLog.RemoveRange(at, _durableLog.Count - at);
            _durableLog.Add(entry);
        }

        if (write.Entries.Length > 0)
        {
            Node.OnPersisted(write.Entries[^1].Index, write.Entries[^1].Term);
        }

        foreach (RaftMessage message in write.Messages)
        {
            if (message.To == Id)
            {
                Node.Step(message);
            }
            else
            {
                Send(message);
            }
        }

        return true;
    }

    public bool ApplyOne()
    {
        if (!Up || !ToApply.TryDequeue(out Entry entry))
        {
            return false;
        }

        Applied.Add(entry);
        if (entry.Kind == EntryKind.Configuration)
        {
            Node.ApplyMembership(entry);
            Log($"{Id} applies {Node.Members}");
        }

        Node.OnApplied(entry.Index);
        return true;
    }

    /// <summary>The view as it stands becomes durable.</summary>
    public void Seal()
    {
        if (!Node.IsInstallingSnapshot)
        {
            _durableView = [.. Applied];
        }
    }

    /// <summary>Seals, and drops the log up to the given index, in memory and on the disk.</summary>
    public void Compact(LogIndex upTo)
    {
        Seal();
        LogIndex boundary = Node.Compact(upTo);
        if (boundary > _durableBoundary)
        {
            int drop = (int)(boundary - _durableBoundary);
            _durableBoundaryTerm = _durableLog[drop - 1].Term;
            _durableLog.RemoveRange(0, drop);
            _durableBoundary = boundary;
        }
    }

    public void Receive(Envelope envelope)
    {
        if (!Up)
        {
            return;
        }

        if (envelope.Snapshot is not { } content)
        {
            Node.Step(envelope.Message);
            return;
        }

        RaftMessage message = envelope.Message;
        Node.Step(message);
        if (message.Term < Node.Term)
        {
            return;
        }

        if (Node.BeginSnapshotInstall(message.From, message.Term, content.Index, content.Term))
        {
            _disk.Enqueue(new DiskWrite(null, [], [], envelope));
        }
        else
        {
            Node.RefuseSnapshot(message.From, content.Index, content.Term);
        }
    }

    /// <summary>The disk loses all but a first part of what it had, and says so when the replica restarts. Term and vote survive.</summary>
    public void DamageAndRestart(int keep, Random random)
    {
        Crash();
        if (!_markedDamaged)
        {
            // The view first, then what of the log lies above it.
            int below = (int)_durableBoundary.Value;
            _lost = [.. _durableView.Take(below), .. _durableLog];
        }

        _durableView = [.. _durableView.Take(keep)];
        _durableLog = [];
        _durableBoundary = new LogIndex((ulong)_durableView.Count);
        _durableBoundaryTerm = _durableView.Count == 0 ? default : _durableView[^1].Term;
        _markedDamaged = true;
        Restart(random);
    }

    public void Crash()
    {
        Up = false;
        _disk.Clear();
        ToApply.Clear();
    }

    public void Restart(Random random)
    {
        Up = true;
        LogIndex viewAt = new((ulong)_durableView.Count);
        if (viewAt > _durableBoundary + (ulong)_durableLog.Count)
        {
            // Committed by others, applied and sealed here before the own log was durable: the log restarts at the view.
            _durableLog = [];
            _durableBoundary = viewAt;
            _durableBoundaryTerm = _durableView[^1].Term;
        }

        Applied = [.. _durableView];
        Node = Start(random);
        if (_markedDamaged)
        {
            Node.Quarantine();
        }
    }

    public override string ToString() =>
        $"{Id} {(!Up ? "down" : Node.IsQuarantined ? "Quarantined" : Node.State)} {Node.Term} leader {Node.Leader} commit {Node.CommitIndex} applied {Node.AppliedIndex} first {Node.FirstIndex} last {Node.LastIndex}/{Node.LastTerm}";

    private RaftNode Start(Random random) => new(
        _options,
        Id,
        MembersIn(_durableView),
        new RaftRecoveredState
        {
            HardState = _durableHardState,
            BoundaryIndex = _durableBoundary,
            BoundaryTerm = _durableBoundaryTerm,
            Entries = _durableLog.ToArray(),
            Applied = new LogIndex((ulong)_durableView.Count),
        },
        random);

    /// <summary>The configuration is part of the view, like all that entries have changed.</summary>
    private MembershipConfig MembersIn(List<Entry> view)
    {
        int last = view.FindLastIndex(entry => entry.Kind == EntryKind.Configuration);
        return last < 0 ? _firstMembers : MembershipEntry.Decode(view[last].Payload).Config;
    }

    private void Send(RaftMessage message)
    {
        message.Entries = message.Entries.ToArray();
        _send(new Envelope(message, null));
    }

    private void SendSnapshot(ReplicaId to)
    {
        LogIndex index = new((ulong)Applied.Count);
        var message = new RaftMessage { Kind = RaftMessageKind.Snapshot, From = Id, To = to, Term = Node.Term };
        _send(new Envelope(message, new SnapshotContent(index, Applied[^1].Term, [.. Applied], MembersIn(Applied))));
        Node.ReportSnapshotSent(to, index);
    }

    private void Describe(Ready ready)
    {
        if (ready.LeadershipChanged is { } change)
        {
            Log($"{Id} is {change.Role} in {change.Term}, leader {change.Leader}");
        }

        if (ready.HardState is { } hard)
        {
            Log($"{Id} hard state {hard.Term} vote {hard.Vote} commit {hard.Commit}{(ready.MustSync ? " sync" : "")}");
        }

        LogEntries("persist", ready.EntriesToPersist.Span);
        LogEntries("replaced", ready.ReplacedEntries);
        LogEntries("committed", ready.Committed.Span);
        foreach (ReadState read in ready.ReadStates)
        {
            Log($"{Id} read {read.Context} {(read.Aborted ? "aborted" : "at " + read.Index)}");
        }

        foreach (ReplicaId to in ready.SnapshotsWanted)
        {
            Log($"{Id} snapshot wanted by {to}");
        }
    }

    private void LogEntries(string what, ReadOnlySpan<Entry> entries)
    {
        if (entries.Length > 0)
        {
            Log($"{Id} {what} {Show(entries)}");
        }
    }

    public static string Show(ReadOnlySpan<Entry> entries)
    {
        var text = new StringBuilder();
        foreach (Entry entry in entries)
        {
            text.Append(text.Length > 0 ? " " : "").Append($"{entry.Index.Value}@{entry.Term.Value}");
            if (entry.Kind == EntryKind.Configuration)
            {
                text.Append($"={MembershipEntry.Decode(entry.Payload).Config}");
            }
            else if (entry.Payload.Length > 0)
            {
                text.Append($"={Encoding.UTF8.GetString(entry.Payload.Span)}");
            }
        }

        return text.ToString();
    }

    private sealed record DiskWrite(HardState? HardState, Entry[] Entries, RaftMessage[] Messages, Envelope? Install);
}
