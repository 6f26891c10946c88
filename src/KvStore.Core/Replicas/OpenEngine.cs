using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// The open regime of one shard: composes its parts, and gives each its share of a turn. A client's write goes through <see cref="OpenWrites"/>, another replica's through <see cref="OpenReplication"/>, reads through
/// <see cref="OpenReads"/>. A lost message is healed by <see cref="OpenHealing"/>.
/// </summary>
internal sealed class OpenEngine
{
    /// <summary>What a session waits for comes by itself in a few milliseconds; after this long it was lost, and is fetched.</summary>
    private const int PullForSessionAfterMs = 100;

    private readonly RegimeState _regimes;
    private readonly ReplicaPlaces _places;
    private readonly ReplicaOptions _options;
    private readonly IReplicaStorage _storage;
    private readonly PeerReachability _peers;
    private readonly CompletionSink _completions;
    private readonly DottedReplica _dotted;
    private readonly DottedJournal _journal;
    private readonly OpenHealing _healing;
    private readonly OpenFreshness _freshness;
    private readonly OpenSessions _sessions;
    private readonly OpenReads _reads;
    private readonly OpenWrites _writes;
    private readonly OpenAcknowledgements _acknowledgements;
    private readonly OpenReplication _replication;
    private readonly OpenInbox _inbox;
    private readonly OpenState _state;
    private readonly ContextStripper _stripper;
    private readonly DigestScrub _scrub;
    private readonly ConflictSweeper? _sweeper;
    private readonly MemoryRecovery? _recovery;
    private readonly DigestScan? _digestScan;
    private readonly OpenExpirer _expirer;
    private readonly OpenPublisher _publisher;
    private readonly Watching.ChangeFeed? _feed;
    private int _lastPulledForSession;
    private bool _isFrozen;

    /// <param name="parts">What the replica's parts share.</param>
    /// <param name="transport">To the other replicas, within this open period.</param>
    /// <param name="random">For a fresh actor.</param>
    public OpenEngine(in ReplicaParts parts, IPeerTransport transport, Random random)
    {
        _regimes = parts.Regimes;
        _places = parts.Places;
        _options = parts.Options;
        _storage = parts.Storage;
        _peers = parts.Peers;
        _completions = parts.Completions;
        _feed = parts.Feed;

        // A fresh actor at every start: what an earlier one had minted and lost with an unsynced tail can then never be minted twice.
        MemoryRecords? memory = parts.Descriptor.IsInMemory ? new MemoryRecords(parts.Descriptor.MemoryBytes) : null;
        _dotted = new DottedReplica(ActorId.Draw(random), 0, parts.Regimes.ClockAtOpening(), parts.Places.Peers, memory is null ? parts.Options.Dotted : DottedOptions.ForMemory);
        _dotted.BeginAt(parts.View.Dotted);
        _journal = new DottedJournal(parts.Storage, parts.View, parts.Loader, memory) { Evicted = OnEvicted };
        _journal.Restore(parts.View.Dotted);
        _recovery = memory is null ? null : new MemoryRecovery(parts.Descriptor, parts.Places, parts.Clock, _dotted, _journal, parts.Storage, parts.Peers);
        _healing = new OpenHealing(parts.Descriptor, parts.Places, parts.Options, _dotted, _journal, parts.Storage, transport, parts.Loader);
        _publisher = new OpenPublisher(parts.Descriptor.Shard, parts.Places, transport, _journal);
        if (parts.Descriptor.Conflicts == ConflictRule.LastWriterWins)
        {
            _sweeper = new ConflictSweeper(parts.Descriptor, parts.Places, parts.Options, parts.Clock, _dotted, _journal, _healing, parts.Loader, _publisher, parts.Peers);
        }

        _journal.Changed = OnChanged;
        _freshness = new OpenFreshness(parts.Descriptor, parts.Places, parts.Options, parts.Clock, _dotted, transport, parts.Peers, parts.Completions);
        _freshness.OnMembersChanged();
        _sessions = new OpenSessions(parts.Regimes, _dotted);
        _digestScan = memory is not null ? null : new DigestScan(_dotted.Digests, parts.Loader, parts.Options);
        _expirer = new OpenExpirer(parts.Descriptor, parts.Places, parts.Peers, parts.Expiries, parts.ExpiryScan, parts.Storage, parts.Loader, parts.Clock, _dotted, _journal, _publisher) { MayMint = () => !IsClosing };
        var mint = new OpenMint(parts.Descriptor, parts.Places, parts.Options, parts.Clock, _dotted, _healing, _expirer, _sweeper, parts.Completions);
        _reads = new OpenReads(parts.Descriptor, parts.Places, parts.Options, parts.Clock, _dotted, _journal, parts.Loader, transport, parts.Peers, _freshness, _sessions, parts.Completions, _healing, _expirer)
        {
            MayServe = () => !_isFrozen && !IsBehind,
        };
        _scrub = new DigestScrub(parts.Descriptor, parts.Places, _dotted, transport);
        _acknowledgements = new OpenAcknowledgements(parts.Regimes, parts.Places, parts.Clock, _dotted, _journal, parts.Peers, _sessions, parts.Completions);
        _writes = new OpenWrites(
            parts.Regimes, parts.Places, parts.Options, parts.Clock, _journal, parts.Loader, _healing, _sessions, mint, _publisher, _expirer, _sweeper, _acknowledgements, parts.Completions);
        _replication = new OpenReplication(parts.Descriptor, parts.Options, parts.Clock, _dotted, _journal, transport, parts.Loader, _healing, _expirer, _acknowledgements);
        _inbox = new OpenInbox(_healing, _replication, _acknowledgements, _reads, _freshness, _scrub, _recovery);
        _state = new OpenState(_dotted, _journal, parts.Storage, _expirer, memory is not null);
        _stripper = new ContextStripper(_dotted, _journal, parts.Storage, parts.Loader);
        if (memory is null)
        {
            // In memory each replica evicts for itself: equal clocks say nothing about what is held.
            _healing.QuietRound = _scrub.Offer;
        }
    }

    /// <summary>The shard is closing: nothing is written or taken here any more but what the leader's baseline asks for.</summary>
    public bool IsClosing
    {
        get => _healing.IsClosing;
        set => _healing.IsClosing = value;
    }

    /// <summary>All that was seen here. Not to be changed.</summary>
    public ShardClock Clock => _dotted.Clock;

    public bool IsRecovering => _dotted.IsRecovering;

    /// <summary>Nothing of another replica is on its way into the data, and all that is in it is durable.</summary>
    public bool IsAtRest => _healing.IsAtRest && _dotted.Number <= _journal.Durable;

    /// <summary>Whether everything that the entry with which this open period began had behind it has reached this replica: one that skipped part of the log copies it.</summary>
    public bool HasWholePrefix => _dotted.Clock.BaseOf(ActorId.Log) >= _regimes.Current.Episode.Value;

    /// <summary>The shard was opened again without this replica, which has yet to begin to copy what it lacks.</summary>
    private bool IsBehind => !HasWholePrefix && !_dotted.IsRecovering;

    public int PendingCount => _acknowledgements.Count + _reads.PendingCount + _freshness.WaitingCount;

    /// <summary>Something waits for the log.</summary>
    public bool WaitsForDurable => _journal.Waits;

    /// <summary>Nothing is on its way and no peer is known to lack anything: <see cref="OpenHealing.OnQuietTicks"/> takes the place of <see cref="OnTick"/>.</summary>
    public bool IsQuiet => PendingCount == 0 && !WaitsForDurable && _replication.IsIdle && _healing.IsQuiet
        && !_dotted.MayStrip && !_dotted.HasIndexRemovals && (_digestScan?.IsIdle ?? true) && _expirer.IsQuiet && _storage.UnsealedBytes == 0 && (_sweeper?.IsQuiet ?? true);

    public OpenHealing Healing => _healing;

    public DottedReplica Dotted => _dotted;

    /// <summary>Values that this replica has dropped because others won, since its start.</summary>
    public long LosersDropped => _sweeper?.LosersDropped ?? 0;

    public string DescribeClock() => _dotted.Clock.ToString();

    public OpenStatus Describe() => new()
    {
        IsRecovering = _dotted.IsRecovering,
        IndexedDots = _dotted.IndexedDots,
        UncoveredContexts = _dotted.UncoveredContexts,
        MayStrip = _dotted.MayStrip || _dotted.HasIndexRemovals,
        HasDigests = _dotted.Digests.AreComplete,
        Comparisons = _scrub.Comparisons,
        DifferentBuckets = _scrub.DifferentBuckets,
    };

    public long DifferencesFound => _scrub.Found;

    public BucketDigests? CaptureDigests() => _dotted.Digests.AreComplete ? _dotted.Digests.Capture() : null;

    /// <inheritdoc cref="IReplicaStorage.WarmPays"/>
    public bool WarmPays => _journal.WarmPays;

    /// <inheritdoc cref="IReplicaStorage.Warm"/>
    public int Warm(int keyHash, WarmStep step) => _journal.Warm(keyHash, step) + _dotted.Warm(keyHash, (int)step);

    public void Submit(in ClientOperation operation)
    {
        if (PendingCount >= _options.MaxPending)
        {
            _completions.Refuse(operation, RefusalCode.Overloaded, "Too many operations wait on this shard; slow down and try again.");
            return;
        }

        switch (operation.Kind)
        {
            case OperationKind.Get or OperationKind.Scan or OperationKind.Put or OperationKind.Delete or OperationKind.Increment or OperationKind.Transaction
                when !_completions.Admit(operation, RequestClasses.Of(operation)):
                break;
            case OperationKind.Get or OperationKind.Scan:
                _reads.Submit(operation);
                break;
            case OperationKind.Increment when operation.Condition != WriteCondition.None:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "An increment has no condition: it applies to whatever the counter is.");
                break;
            case OperationKind.Increment when _journal.Memory is not null:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "Counters are not offered in keyspaces in memory: one that was evicted would begin at zero again. Count in a keyspace with durability disk.");
                break;
            case OperationKind.Put or OperationKind.Delete or OperationKind.Increment:
                _writes.Submit(operation);
                break;
            default:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "The kind of operation is not known here.");
                break;
        }
    }

    /// <summary>A message of another replica's engine.</summary>
    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload) => _inbox.Receive(from, kind, payload);

    public void OnDurable(LogPosition position)
    {
        if (_journal.OnDurable(position))
        {
            AfterDurable();
        }
    }

    /// <summary>At the end of each turn: what lives in memory only is as durable as it gets.</summary>
    public void OnTurnEnds()
    {
        if (_journal.TakeMemory())
        {
            AfterDurable();
        }
    }

    private void AfterDurable()
    {
        _dotted.OnDurable(_journal.Durable);
        _feed?.OnDurable(_journal.Durable);
        _healing.OnDurable();
        _publisher.OnDurable();
        _replication.OnDurable();
        _acknowledgements.AnswerSatisfied();
    }

    public void OnReachabilityChanged()
    {
        _acknowledgements.AnswerSatisfied();
        _reads.OnReachabilityChanged();
        _healing.OnReachabilityChanged();
    }

    /// <summary>Whether a peer is known to have a whole copy.</summary>
    public bool IsWhole(NodeId node) => _healing.IsWhole(node);

    /// <summary>Whether all that a peer is known to hold is here as well.</summary>
    public bool HasAllOf(NodeId node) => _dotted.HasAllOf(node);

    /// <summary>For a replica that is no founder: if it has nothing yet, it says so until it has copied everything.</summary>
    public void BeginIfNewcomer()
    {
        if (_dotted.Number == 0)
        {
            if (_recovery is { } recovery)
            {
                recovery.Begin();
            }
            else
            {
                _healing.BeginAsNewcomer();
            }
        }
    }

    /// <summary>The process has restarted. What lived in memory only is copied from a peer.</summary>
    public void BeginAnewInMemory() => _recovery?.Begin();

    public MemoryRecovery? Recovery => _recovery;

    public DottedJournal Journal => _journal;

    public long Evictions => _journal.Evictions;

    /// <summary>A replica that skipped part of the log has what it holds, and copies the rest.</summary>
    public void BeginIfBehind()
    {
        if (IsBehind)
        {
            _healing.BeginAsNewcomer();
        }
    }

    /// <summary>What is here and not in a clock, by key.</summary>
    public List<(Key Key, Dot[] Dots)> Unaccounted(ShardClock known, out ulong unmapped) => _dotted.Unaccounted(known, out unmapped);

    /// <summary>The view is about to be replaced: nothing changes it any more, whatever was on its way. What is in it can still be read.</summary>
    public void Freeze()
    {
        IsClosing = true;
        _isFrozen = true;
        _healing.Stop();
        _replication.Stop();
        _stripper.Stop();
    }

    /// <summary>The view was replaced under the engine, which is not used any more.</summary>
    public void Close()
    {
        Freeze();
        FailAll(RefusalCode.Switching, "The keyspace has become cp while the operation waited; what was written here is kept and merged.");
    }

    /// <summary>A check over the data at the clock of this moment; null while it is not known.</summary>
    public UInt128? DataSum() => CaptureDigests()?.Fold();

    /// <summary>What the contexts of records name above the clock's base. Only where there is a <see cref="DataSum"/>: then every context is known.</summary>
    public VersionVector ContextsBeyondBase() => AccountedDots.Bounded(_dotted.ContextsBeyondBase(AccountedDots.MaxNamed));

    /// <summary>Takes what waited beside the data, with the context that it had. False: the key is only on the disk.</summary>
    public bool TryAbsorb(Key key, DottedObject frozen, ReadOnlySpan<Dot> dots)
    {
        if (!_journal.TryFind(key.Span, out DottedObject stored))
        {
            return false;
        }

        DottedReceipt receipt = _dotted.Absorb(key, stored, frozen, dots);
        if (receipt.IsNew)
        {
            _journal.Persist(receipt.Change, SyncUrgency.Now);
        }

        return true;
    }

    /// <summary>The stored object of a key with the context that it has here. False: only the disk knows.</summary>
    public bool TryFill(Key key, out DottedObject filled)
    {
        bool found = _journal.TryFind(key.Span, out DottedObject stored);
        filled = found ? _dotted.Fill(key, stored) : DottedObject.Empty;
        return found;
    }

    /// <summary>The shard is ordered, from exactly the data that is here: writes that waited are on a majority. The engine's own records leave the view, and it is not used any more.</summary>
    public void Retire()
    {
        Freeze();
        _acknowledgements.AnswerAll();
        _reads.FailAll(RefusalCode.Switching, "The keyspace has become cp while the read waited; try again.");
        _freshness.FailAll(RefusalCode.Switching, "The keyspace has become cp while the read waited; try again.");
        _state.Remove();
    }

    public void OnMembersChanged(ShardMembers earlier)
    {
        _dotted.SetPeers(_places.Peers);
        _freshness.OnMembersChanged();
        _healing.OnMembersChanged(earlier);
        _acknowledgements.OnMembersChanged();
    }

    /// <summary>Once per turn, when the inputs are in.</summary>
    public void OnTurn() => _freshness.OnTurn();

    /// <param name="sessionWaitMs">How long an operation of a session has waited here for what is missing.</param>
    public void OnTick(long sessionWaitMs)
    {
        if (sessionWaitMs >= PullForSessionAfterMs)
        {
            PullForSession();
        }

        _freshness.OnTick();
        _acknowledgements.OnTick();
        _reads.OnTick();
        _healing.OnTick();
        if (!IsClosing)
        {
            // Whatever is minted while the shard closes would be no part of the baseline.
            _expirer.OnTick();
            _sweeper?.OnTick();
        }

        _digestScan?.OnTick();
        _recovery?.OnTick();
        _state.OnTick();
        _stripper.OnTick();
    }

    /// <summary>So many ticks have passed while the shard was quiet.</summary>
    public void OnQuietTicks(int ticks)
    {
        _healing.OnQuietTicks(ticks);
        if (!IsClosing)
        {
            _expirer.OnTick();
        }
    }

    public void FailAll(RefusalCode code, string reason)
    {
        _acknowledgements.FailAll(code, reason);
        _reads.FailAll(code, reason);
        _freshness.FailAll(code, reason);
    }

    /// <summary>Before each seal.</summary>
    public void WriteState() => _state.Write();

    /// <summary>A record of the view that the engine keeps beside the data.</summary>
    public void Restore(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record) => _state.Restore(space, key, record);

    /// <summary>Repeats the dotted records that came after the last seal.</summary>
    public void Replay(IReadOnlyList<RecoveredRecord> records, ViewState view)
    {
        _state.Replay(records, view);
        _recovery?.Replay(records);

        // The overlay's records have numbers of the same row, and may be the last of the log: a copy that was about to be replaced puts its writes there, and the process may end before it is.
        _dotted.BeginAt(view.Dotted);
        _journal.Restore(_dotted.Number);
    }

    private void OnEvicted(Key key, DottedObject evicted)
    {
        _dotted.Evict(key, evicted);
        _feed?.OnEvicted(key, evicted, _dotted.Number);
    }

    private void OnChanged(DottedChange change)
    {
        _feed?.OnDotted(change, _dotted.IsRecovering);
        _healing.OnChanged(change);
        _sweeper?.OnChanged(change);
        _expirer.OnChanged(change);
    }

    /// <summary>A peer at a time, in turn: the one that has it may be any of them.</summary>
    private void PullForSession()
    {
        for (int i = 0; i < _places.Peers.Length; i++)
        {
            NodeId peer = _places.Peers[++_lastPulledForSession % _places.Peers.Length];
            if (_peers.IsReachable(peer))
            {
                _healing.PullSoonFrom(peer);
                return;
            }
        }
    }
}
