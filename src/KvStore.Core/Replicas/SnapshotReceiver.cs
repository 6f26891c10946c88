using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>
/// Takes a snapshot page by page into a view beside the current one, and switches over when the last page is in. Pages come in order or not at all: one that is missing ends the attempt, and
/// the leader begins anew. Until then the current view serves reads. In an open shard a snapshot only moves the position of the group's log and says who the members are: the view stays, since no entry
/// ever told what is in it.
/// </summary>
internal sealed class SnapshotReceiver(ShardDescriptor descriptor, ReplicaPlaces places, RaftNode raft, IReplicaStorage storage, IPeerTransport transport, ViewState view)
{
    private const int TicksBetweenFlushes = 10;

    private readonly bool _orders = descriptor.Mode.Partition != PartitionChoice.Ap;
    private ReplicaId _from;
    private int _waitingTicks;
    private ulong _attempt;
    private Term _term;
    private int _nextPage;
    private ViewPosition _position;

    /// <summary>All pages are in, and the switch is not durable yet: nothing may be applied, nor in an ordered shard sealed or scanned.</summary>
    public bool IsCommitting { get; private set; }

    /// <summary>What must be taken over before an ordered shard's view is replaced.</summary>
    public Action BeforeSwitch { get; init; } = () => { };

    public void OnPage(in SnapshotPage page)
    {
        if (IsCommitting)
        {
            return;
        }

        bool accepted = page.Number == 0
            ? TryBegin(page)
            : page.From == _from && page.SnapshotId == _attempt && page.Term == _term && page.Number == _nextPage;
        if (!accepted)
        {
            // A page that was repeated is answered again; anything else is refused, so that the sender does not wait in vain.
            bool repeated = page.From == _from && page.SnapshotId == _attempt && page.Number < _nextPage;
            Answer(page, reject: !repeated);
            return;
        }

        foreach (ScannedRecord record in page.Records)
        {
            if (_orders)
            {
                storage.Install(record.Space, record.Key.Span, record.Record.Span);
            }
            else
            {
                Invariant.Assert(record.Space == RecordSpace.Meta && record.Key.Span.SequenceEqual(MembersCodec.Key), "the snapshot of an open shard holds nothing but its members");
                SkippedMembers = MembersCodec.DecodeMembers(record.Record);
            }
        }

        _nextPage++;
        Answer(page, reject: false);
        if (page.Last && raft.BeginSnapshotInstall(_from, _term, _position.Applied, _position.AppliedTerm))
        {
            IsCommitting = true;
            if (_orders)
            {
                BeforeSwitch();

                // The running number of dotted and overlay records is this replica's own.
                storage.CommitInstall(_position with { Dotted = view.Dotted });
            }
            else
            {
                view.SkipTo(_position.Applied, _position.AppliedTerm);
                if (SkippedMembers is { } members)
                {
                    storage.Put(RecordSpace.Meta, MembersCodec.Key, MembersCodec.EncodeMembers(members));
                }

                view.Seal();
            }
        }
    }

    /// <summary>Whether the position of an open shard's snapshot has just become durable: the caller finishes as for an installed view.</summary>
    public bool HasSkipped => IsCommitting && !_orders && storage.DurablePosition.Applied >= _position.Applied;

    /// <summary>One tick has passed. On a node on which nothing else happens nobody flushes the view, and the replica would wait with its position for ever.</summary>
    public void OnTick()
    {
        if (IsCommitting && !_orders && ++_waitingTicks % TicksBetweenFlushes == 0)
        {
            storage.RequestFlush();
        }
    }

    /// <summary>Open shards: the members that came with the snapshot.</summary>
    public ShardMembers? SkippedMembers { get; private set; }

    /// <summary>The switch is durable, and the members that it brought are known.</summary>
    public void OnInstalled()
    {
        Invariant.Assert(IsCommitting);
        IsCommitting = false;
        ReplicaId from = _from;
        _from = default;

        // Only now may older entries be declared void: before, they were what this replica had acknowledged.
        storage.Append(LogRecordKind.SnapshotInstalled, _position.AppliedTerm, _position.Applied, [], SyncUrgency.Now);
        raft.OnSnapshotInstalled(_position.Applied, _position.AppliedTerm, from, _term, places.Members.Config);
    }

    private bool TryBegin(in SnapshotPage page)
    {
        if (!raft.WouldAcceptSnapshot(page.From, page.Term, page.Position.Applied, page.Position.AppliedTerm))
        {
            raft.RefuseSnapshot(page.From, page.Position.Applied, page.Position.AppliedTerm);
            return false;
        }

        _from = page.From;
        _attempt = page.SnapshotId;
        _term = page.Term;
        _position = page.Position;
        _nextPage = 0;
        SkippedMembers = null;
        if (_orders)
        {
            storage.BeginInstall();
        }

        return true;
    }

    private void Answer(in SnapshotPage page, bool reject)
    {
        NodeId node = places.NodeOf(page.From);
        if (node.IsNone)
        {
            return;
        }

        transport.Send(descriptor.Shard, node, new RaftMessage
        {
            Kind = RaftMessageKind.SnapshotResponse,
            From = descriptor.Self.Replica,
            To = page.From,
            Term = raft.Term,
            Index = new LogIndex((ulong)page.Number),
            Round = page.SnapshotId,
            Reject = reject,
        });
    }
}
