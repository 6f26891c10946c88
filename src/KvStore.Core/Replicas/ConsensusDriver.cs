using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Carries out what a RaftNode wants done: entries and hard state into the log, messages out now or when what they acknowledge is durable, committed entries to whoever applies them.
/// Knows nothing of keys or clients.
/// </summary>
internal sealed class ConsensusDriver(ShardDescriptor descriptor, ReplicaPlaces places, RaftNode raft, IReplicaStorage storage, IPeerTransport transport, LostWriteJournal lostWrites)
{
    private readonly record struct Persisted(LogPosition Position, LogIndex LastIndex, Term LastTerm);

    private readonly record struct Held(LogPosition Position, RaftMessage Message);

    private readonly Queue<Persisted> _persisting = new();
    private readonly Queue<Held> _held = new();
    private readonly Queue<Entry> _toApply = new();
    private LogPosition _lastAppended;
    private LogPosition _durable;
    private HardState _stored;

    public RaftNode Raft => raft;

    /// <summary>Committed entries that were handed out and are not applied yet.</summary>
    public Queue<Entry> ToApply => _toApply;

    /// <summary>Something appended is not known to be durable yet.</summary>
    public bool WaitsForDurable => _lastAppended > _durable;

    /// <summary>Takes one Ready and carries it out. Read states, leadership changes and wanted snapshots stay in it for the caller to look at, until the next call on the node.</summary>
    public Ready Turn(SyncUrgency urgency)
    {
        Ready ready = raft.TakeReady();
        Persist(ready, urgency);
        foreach (ref readonly RaftMessage message in ready.MessagesNow)
        {
            Send(message);
        }

        bool waits = _lastAppended > _durable;
        foreach (ref readonly RaftMessage message in ready.MessagesAfterPersist)
        {
            if (waits)
            {
                _held.Enqueue(new Held(_lastAppended, message));
            }
            else
            {
                Send(message);
            }
        }

        foreach (ref readonly Entry entry in ready.Committed.Span)
        {
            _toApply.Enqueue(entry);
        }

        return ready;
    }

    /// <summary>Everything appended up to a position has become durable.</summary>
    public void OnDurable(LogPosition position)
    {
        _durable = position;
        Persisted last = default;
        while (_persisting.TryPeek(out Persisted next) && next.Position <= position)
        {
            last = _persisting.Dequeue();
        }

        if (last.LastIndex > LogIndex.Zero)
        {
            raft.OnPersisted(last.LastIndex, last.LastTerm);
        }

        while (_held.TryPeek(out Held held) && held.Position <= position)
        {
            _held.Dequeue();
            Send(held.Message);
        }
    }

    private void Persist(Ready ready, SyncUrgency urgency)
    {
        // What was acknowledged goes into the journal in the batch that replaces it.
        if (lostWrites.OnReplaced(ready.ReplacedEntries) is { } noted)
        {
            _lastAppended = noted;
        }

        ReadOnlySpan<Entry> entries = ready.EntriesToPersist.Span;
        foreach (ref readonly Entry entry in entries)
        {
            _lastAppended = storage.Append(LogRecordKind.Entry, entry.Term, entry.Index, entry.Payload.Span, urgency);
            if (entry.Kind == EntryKind.Configuration)
            {
                places.Hear(MembershipEntry.Decode(entry.Payload).Context);
            }
        }

        // Behind the entries: torn between the two, a commit index that came with them would make what they replace look committed.
        if (HasNewVote(ready) || DecidesMembers(ready))
        {
            _stored = raft.HardState;
            _lastAppended = storage.Append(LogRecordKind.HardState, _stored.Term, _stored.Commit, RecoveredLog.EncodeHardState(_stored), SyncUrgency.Now);
        }

        if (entries.Length > 0)
        {
            _persisting.Enqueue(new Persisted(_lastAppended, entries[^1].Index, entries[^1].Term));
        }
    }

    /// <summary>A commit index alone is not worth a record: after a restart the applied index stands in for it.</summary>
    private bool HasNewVote(Ready ready) => ready.HardState is { } state && (state.Term != _stored.Term || state.Vote != _stored.Vote);

    /// <summary>
    /// A configuration is about to take effect. Who has left may be gone for good from then on, so a restart must not need it to find out that the configuration was committed.
    /// </summary>
    private static bool DecidesMembers(Ready ready)
    {
        foreach (ref readonly Entry entry in ready.Committed.Span)
        {
            if (entry.Kind == EntryKind.Configuration)
            {
                return true;
            }
        }

        return false;
    }

    private void Send(in RaftMessage message)
    {
        if (message.To == descriptor.Self.Replica)
        {
            raft.Step(message);
            return;
        }

        NodeId node = places.NodeOf(message.To);
        if (!node.IsNone)
        {
            transport.Send(descriptor.Shard, node, message);
        }
    }
}
