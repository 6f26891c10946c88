using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// One replica of one shard in the open regime: a pure state machine on one thread. It mints dots, joins what comes from peers, and says what to persist and to send; it never looks anything
/// up in storage itself.
/// </summary>
/// <remarks>
/// The contract with the caller. Every change is persisted in the turn in which it was made: one log record under its running number, one record of the view. Numbers go up by one.
/// <see cref="OnDurable"/> says how far the log would survive a power loss; only that is acknowledged and advertised. After a restart: <see cref="ReadState"/> and <see cref="RestoreIndexed"/>
/// with what the last seal wrote, then <see cref="Replay"/> of every later record, in order. <b>A replica that may have lost any record of its own must be given a fresh actor</b>, because what
/// it had minted may be known elsewhere; the simplest rule is a fresh one at every start.
/// </remarks>
public sealed class DottedReplica
{
    private readonly ReplicaState _state;
    private readonly ArrayBufferWriter<byte> _message = new(1024);
    private bool _advertiseDue;

    /// <param name="self">Whose dots are minted here.</param>
    /// <param name="minted">The last counter minted under that name; zero for a fresh actor.</param>
    /// <param name="clock">What was seen before there was a record of it, as the log's prefix. Taken over.</param>
    /// <param name="peers">The other configured replicas.</param>
    /// <param name="options">Bounds.</param>
    public DottedReplica(ActorId self, ulong minted, ShardClock clock, IReadOnlyList<NodeId> peers, DottedOptions options)
    {
        Invariant.Assert(!self.IsNone && !self.IsLog);
        _state = new ReplicaState(self, minted, options);
        _state.Peers.SetPeers(peers);
        _state.Clock = clock;
        _state.Unmapped = clock.Clone();
        _state.Frontier.Reset(clock.Clone(), 0);
        AntiEntropy = new AntiEntropy(_state);
        FullCopy = new FullCopy(_state);
    }

    public AntiEntropy AntiEntropy { get; }

    public FullCopy FullCopy { get; }

    public ActorId Self => _state.Self;

    public ulong Minted => _state.Minted;

    /// <summary>The running number of the last change.</summary>
    public ulong Number => _state.Number;

    /// <summary>All that was seen, durable or not. Not to be changed by the caller.</summary>
    public ShardClock Clock => _state.Clock;

    /// <summary>What would be left after a power loss. Not to be changed by the caller.</summary>
    public ShardClock DurableClock => _state.Frontier.Clock;

    /// <summary>What every configured peer is known to hold durably. Not to be changed by the caller.</summary>
    public ShardClock Everywhere => _state.Peers.Everywhere;

    /// <summary>No source, no quorum member; reads may miss something.</summary>
    public bool IsRecovering => _state.Recovering;

    /// <summary>How many dots wait for some peer.</summary>
    public int IndexedDots => _state.Index.Count;

    /// <summary>How many records hold a context that the clock's base did not imply when they were stored: deletes above all.</summary>
    public int UncoveredContexts => _state.Contexts.Count;

    /// <summary>All that stored contexts name and the clock's base does not imply: writes that were superseded before they came here. Only while the <see cref="Digests"/> are complete.</summary>
    /// <param name="maxActors">Past so many it need not be all.</param>
    public VersionVector ContextsBeyondBase(int maxActors)
    {
        Invariant.Assert(Digests.AreComplete, "every context is known when all records are counted");
        return _state.Contexts.Beyond(Clock.BaseVector, maxActors);
    }

    /// <summary>What the data comes to, for comparing replicas whose clocks are equal.</summary>
    public DataDigests Digests => _state.Digests;

    /// <summary>Reads what a change of a key is about to look at in the index of dots, and forgets it: the place of its hash in step 0, the entry that it leads to in step 1, the key in step 2.</summary>
    /// <returns>Nothing of meaning.</returns>
    public int Warm(int keyHash, int step) => _state.Index.Warm(keyHash, step);

    /// <summary>The stored object with the context it has here: for reads, and for answers to quorum reads.</summary>
    public DottedObject Fill(Key key, DottedObject stored) => stored.Fill(_state.KnownFor(key));

    /// <summary>A write that supersedes all that this replica holds of the key.</summary>
    /// <param name="key">The key.</param>
    /// <param name="stored">Its object as stored.</param>
    /// <param name="value">The value, or null to delete. (Beware of <c>x is null ? null : memory</c>, which is an empty value: null converts to memory first.)</param>
    /// <param name="timestamp">From the shard's hybrid clock.</param>
    /// <param name="operation">Comes back with acknowledgements; zero if none are wanted.</param>
    /// <param name="lifetime">When the value expires.</param>
    /// <param name="request">Goes with the write to the other replicas, which then know a retry.</param>
    public DottedWrite Write(
        Key key, DottedObject stored, ReadOnlyMemory<byte>? value, HybridTimestamp timestamp, ulong operation, Lifetime lifetime = default, in RequestId request = default)
        => Overwrite(key, stored, VersionVector.Empty, value, timestamp, operation, lifetime, request);

    /// <summary>A write that supersedes exactly what the context saw. Other arguments as for a blind write.</summary>
    /// <param name="context">Of the <see cref="ObjectVersion"/> that the client had read.</param>
    public DottedWrite WriteInContext(
        Key key, DottedObject stored, VersionVector context, ReadOnlyMemory<byte>? value, HybridTimestamp timestamp, ulong operation, Lifetime lifetime = default, in RequestId request = default)
    {
        if (context[Self] > _state.Minted || context[ActorId.Log] > Clock.BaseOf(ActorId.Log))
        {
            return DottedWrite.Refused(DottedWriteStatus.ContextAhead);
        }

        if (_state.LetGo is not null && stored.IsVacant)
        {
            // An own dot that was evicted can't be left out of a context that covers the new one; so nothing that was evicted here is kept beside it. What the client saw elsewhere may never have come here.
            return Overwrite(key, stored, context, value, timestamp, operation, lifetime, request);
        }

        DottedObject filled = Fill(key, stored);
        DottedObject kept = filled.Discard(context).AliveAt(lifetime.NowMs);

        // Receipts may have brought more than the cap. Whoever leaves fewer than he found is part of the cure.
        int after = kept.SiblingCount + (value is null ? 0 : 1);
        return after > _state.Options.MaxSiblings && after > filled.SiblingCount
            ? DottedWrite.Refused(DottedWriteStatus.TooManySiblings)
            : Mint(key, stored, kept, kept, value, timestamp, operation, lifetime, request);
    }

    /// <summary>Adds to a counter: this actor's running total moves on, the others' stay. Other arguments as for a blind write.</summary>
    /// <param name="owner">This replica's id.</param>
    /// <param name="retired">Whether an actor is an earlier life of this replica of which nothing can be missing, so that its total may be carried over.</param>
    /// <param name="delta">What to add.</param>
    /// <param name="request">Remembered in the total.</param>
    public DottedWrite Increment(
        Key key, DottedObject stored, ReplicaId owner, Func<ActorId, bool> retired, long delta, in RequestId request, HybridTimestamp timestamp, ulong operation, Lifetime lifetime)
    {
        DottedObject filled = Fill(key, stored);
        Incremented counted = DottedCounter.Increment(filled.AliveAt(lifetime.NowMs), new Dot(Self, _state.Minted + 1), owner, retired, delta, request, timestamp, lifetime.ExpiresMs);
        return counted.Status switch
        {
            IncrementStatus.WrongType => DottedWrite.Refused(DottedWriteStatus.WrongType),
            IncrementStatus.Overflow => DottedWrite.Refused(DottedWriteStatus.Overflow),
            IncrementStatus.Repeated => DottedWrite.Refused(DottedWriteStatus.Repeated) with { Written = filled, Sum = counted.Sum },
            _ => TryMint(filled, out Dot dot) ? Publish(key, stored, counted.Object, dot, operation) with { Sum = counted.Sum } : DottedWrite.Refused(DottedWriteStatus.ContextAhead),
        };
    }

    /// <summary>
    /// Deletes what has expired: a dotted write that supersedes exactly those dots. What was written concurrently, and what lives on beside it, stays.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="stored">Its object as stored.</param>
    /// <param name="alive">What of it stays.</param>
    /// <returns>Null where nothing has expired.</returns>
    public DottedWrite? Expire(Key key, DottedObject stored, DottedObject alive)
    {
        DottedObject filled = Fill(key, stored);
        DottedObject kept = filled.Keep(value => alive.Holds(value.Dot));
        return ReferenceEquals(kept, filled) || !TryMint(filled, out Dot dot) ? null : Publish(key, stored, WithLetGo(kept).Write(dot, null, default), dot, operation: 0);
    }

    /// <summary>Whether all that an actor has ever minted and that anybody is known to have was seen here: of an earlier life of this replica, nothing can turn up any more.</summary>
    public bool HasAllThatIsKnownOf(ActorId actor)
    {
        ulong seen = Clock.BaseOf(actor);
        if (IsRecovering || Clock.HighestOf(actor) != seen)
        {
            return false;
        }

        for (int i = 0; i < _state.Peers.PeerCount; i++)
        {
            if (_state.Peers.ClockAt(i).HighestOf(actor) > seen)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>
    /// A write that keeps the winner as it is, under its own dot, and supersedes the other values. It mints a dot like a delete: who hears of it drops the same values, and no equal clocks hide that somebody has not (C11).
    /// The winner is not written anew: a copy under another dot would survive a delete that saw the original. So two replicas that do this at the same time leave the same object.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="stored">Its object as stored, with two values or more.</param>
    public DottedWrite DropLosers(Key key, DottedObject stored)
    {
        DottedObject filled = Fill(key, stored);
        Invariant.Assert(filled.SiblingCount > 1);
        return Mint(key, stored, filled, filled.KeepWinner(), null, HybridTimestamp.Zero, 0, default);
    }

    /// <summary>Takes a write of another replica, in any order, any number of times.</summary>
    /// <param name="message">Decoded.</param>
    /// <param name="stored">The key's own object as stored.</param>
    public DottedReceipt Receive(in ReplicateMessage message, DottedObject stored)
    {
        if (Clock.Covers(message.Dot))
        {
            return new DottedReceipt(false, default, DurableClock.Covers(message.Dot) ? 0 : Number);
        }

        if (message.Dot.Actor == Self)
        {
            _state.AssertNotMintedElsewhere(message.Dot.Counter);
        }

        // Filled with the clock as it is: one that already covered the incoming dot would drop its value (C20).
        Dot fresh = message.Dot;
        DottedObject joined = _state.JoinReceived(message.Key, stored, message.Object, new ReadOnlySpan<Dot>(in fresh));
        DottedChange change = _state.Commit(message.Key, stored, joined, message.Dot);
        return new DottedReceipt(true, change, change.Number);
    }

    /// <summary>The log would survive a power loss up to this running number.</summary>
    public void OnDurable(ulong upTo) => _advertiseDue |= _state.Frontier.Advance(upTo);

    /// <summary>The acknowledgement of an operation, once the receipt's number is durable.</summary>
    /// <param name="operation">Of the message.</param>
    /// <param name="actor">Whose dot it was.</param>
    public ReplicateAcknowledged Acknowledge(ulong operation, ActorId actor) => new(operation, actor, DurableClock.BaseOf(actor));

    /// <summary>Learns from an acknowledgement what the peer holds. Counting it for the operation is the caller's business.</summary>
    public void OnAcknowledged(NodeId from, in ReplicateAcknowledged acknowledged)
    {
        if (_state.Peers.TryGet(from, out ShardClock known) && known.BaseOf(acknowledged.Actor) < acknowledged.DurableBase)
        {
            known.AdvanceBase(acknowledged.Actor, acknowledged.DurableBase);
            _state.CollectGarbage(acknowledged.Actor);
        }
    }

    /// <summary>Whether the durable clock grew since it was last taken for advertising.</summary>
    public bool AdvertiseDue => _advertiseDue;

    /// <summary>The message for every peer, about once a second if due, and to any peer that comes back.</summary>
    public ClockAdvertised Advertise()
    {
        _advertiseDue = false;
        return new ClockAdvertised(DurableClock, IsRecovering);
    }

    /// <summary>Learns a peer's durable clock.</summary>
    /// <returns>True if the peer is a source of something that is missing here: pull from it.</returns>
    public bool OnClockAdvertised(NodeId from, ClockAdvertised advertised)
    {
        _state.AssertNotMintedElsewhere(advertised.Clock.HighestOf(Self));
        _state.Peers.Set(from, advertised.Clock);
        _state.CollectGarbage();
        return !advertised.Recovering && AntiEntropy.ShouldPull(advertised.Clock);
    }

    /// <summary>The peers that, as far as is known, lack something that is durable here.</summary>
    public IEnumerable<NodeId> PeersBehind()
    {
        for (int i = 0; i < _state.Peers.PeerCount; i++)
        {
            if (!_state.Peers.ClockAt(i).Includes(DurableClock))
            {
                yield return _state.Peers.PeerAt(i);
            }
        }
    }

    /// <summary>What a peer is known to hold durably; empty for one that has said nothing. Not to be changed by the caller.</summary>
    public ShardClock KnownOf(NodeId peer) => _state.Peers.TryGet(peer, out ShardClock known) ? known : new ShardClock();

    /// <summary>Whether all that a peer has said to hold durably was seen here as well. True of one that has said nothing.</summary>
    public bool HasAllOf(NodeId peer) => !_state.Peers.TryGet(peer, out ShardClock known) || Clock.Includes(known);

    /// <summary>The configured peers changed. Those that left are no longer waited for.</summary>
    public void SetPeers(IReadOnlyList<NodeId> peers)
    {
        _state.Peers.SetPeers(peers);
        _state.CollectGarbage();
    }

    /// <summary>Begins an open period in a replica that had others before: running numbers go on. Before anything else.</summary>
    public void BeginAt(ulong number)
    {
        _state.Number = number;
        _state.Frontier.Reset(_state.Clock.Clone(), number);
    }

    /// <summary>The keys of all dots that are here and not in another clock, each with its dots in order: what this replica knows and that clock's holder does not.</summary>
    /// <param name="unmapped">How many more such dots there are whose keys are not known any more.</param>
    public List<(Key Key, Dot[] Dots)> Unaccounted(ShardClock known, out ulong unmapped)
    {
        unmapped = 0;
        List<(Key, Dot[])> found = [];
        HashSet<Key> listed = [];
        List<Dot> chain = [];
        foreach (Dot dot in Clock.MissingFrom(known))
        {
            if (!_state.Index.TryGetKey(dot, out Key key))
            {
                unmapped++;
                continue;
            }

            if (listed.Add(key))
            {
                chain.Clear();
                _state.Index.CollectDotsOf(key, chain);
                chain.RemoveAll(known.Covers);
                chain.Sort();
                found.Add((key, [.. chain]));
            }
        }

        return found;
    }

    /// <summary>Takes what was written elsewhere, or in an earlier episode, and waited beside the data: an object with its frozen context, and the dots that it accounts for.</summary>
    public DottedReceipt Absorb(Key key, DottedObject stored, DottedObject frozen, ReadOnlySpan<Dot> dots)
    {
        List<Dot> fresh = [];
        foreach (Dot dot in dots)
        {
            if (!Clock.Covers(dot))
            {
                fresh.Add(dot);
            }
        }

        if (fresh.Count == 0)
        {
            return new DottedReceipt(false, default, Number);
        }

        DottedObject joined = DottedObject.Sync(Fill(key, stored), frozen);
        DottedChange change = _state.Commit(key, stored, joined, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(fresh));
        return new DottedReceipt(true, change, change.Number);
    }

    /// <summary>The open period is over: nobody will be told which key a dot was written to.</summary>
    public void ForgetKeysOfDots() => _state.Index.RemoveCovered(Clock, new ShardClock());

    /// <summary>Serves one range of a full copy: call in the turn in which the scan for it begins, and encode the page with the result.</summary>
    /// <returns>Null if this replica is recovering itself, or goes first: the asker asks again later, or somebody else.</returns>
    public CopyCapture? CaptureForCopy(NodeId newcomer, in FullCopyRequest request)
    {
        if (!FullCopy.YieldsTo(request))
        {
            return null;
        }

        if (request.After.IsEmpty)
        {
            // Before the capture, so that nothing above it is forgotten until the newcomer has it.
            _state.Peers.Set(newcomer, new ShardClock());
            _state.CollectGarbage();
        }

        return new CopyCapture(Clock.Clone(), _state.Unmapped.Clone()) { LetGo = _state.LetGo?.Covered };
    }

    /// <summary>Whether some record may hold a context that the clock implies by now.</summary>
    public bool MayStrip => _state.Contexts.MayHold(_state.StripBase);

    /// <summary>Keys whose records hold a context that the clock implies by now. Load each and <see cref="Strip"/> it.</summary>
    /// <param name="maxLooked">So many waiting keys are looked at, at most.</param>
    /// <param name="maxTaken">So many are returned, at most.</param>
    public List<Key> TakeStrippable(int maxLooked, int maxTaken) => _state.Contexts.TakeCovered(_state.StripBase, maxLooked, maxTaken);

    /// <summary>
    /// The object without what the clock implies: to be put into the view, or removed from it if nothing is left (<see cref="DottedObject.IsVacant"/>). The same instance if nothing is to be done.
    /// Needs no log record: filled with the clock it is the same object.
    /// </summary>
    public DottedObject Strip(DottedObject stored)
    {
        if (_state.LetGo is null)
        {
            return stored.Strip(Clock.BaseVector);
        }

        // In memory only the trace of a delete goes, and as a whole: objects keep their contexts.
        return stored.IsEmpty && stored.Strip(_state.StripBase).IsVacant ? DottedObject.Empty : stored;
    }

    /// <summary>Objects in memory only: this one is removed, and is not known here any more. Needs no further change: nobody concludes anything from its absence.</summary>
    public void Evict(Key key, DottedObject stored) => _state.LetGo!.Note(key, stored.Context);

    /// <summary>What the clock implies for every stored object: to fill scanned ones with.</summary>
    public VersionVector FillBase => _state.FillBase;

    /// <summary>Every peer is recovering too: what is left here is all there is, and others copy from it.</summary>
    public DottedMark GiveUpRecovery() => FullCopy.GiveUpRecovery();

    /// <summary>Repeats a log record after a restart. Records at or below the state's number change nothing.</summary>
    /// <returns>What to put into the view, if anything.</returns>
    /// <exception cref="MalformedRecordException">The record is damaged: the replica must not go on under this actor.</exception>
    public DottedChange? Replay(ulong number, ReadOnlyMemory<byte> logRecord)
    {
        if (number <= Number)
        {
            return null;
        }

        Invariant.Assert(number == Number + 1, "a dotted log record is missing");
        DottedRecord record = DottedRecord.Decode(logRecord);
        _state.Number = number;
        DottedChange? change = record.Kind == DottedRecordKind.Change ? ReplayChange(record, number, logRecord) : null;
        if (record.Kind == DottedRecordKind.ClockAdopted)
        {
            _state.SeeUnmapped(record.Clock!);
            DurableClock.Join(record.Clock!);
        }

        _state.Recovering = record.Kind switch
        {
            DottedRecordKind.CopyBegun => true,
            DottedRecordKind.CopyFinished => false,
            _ => _state.Recovering,
        };
        _state.Frontier.Advance(number);
        return change;
    }

    /// <summary>The state for the view's Meta space, to be put at each seal together with <see cref="TakeIndexChanges"/>. Its size doesn't grow with the data.</summary>
    public void WriteState(IBufferWriter<byte> output) => ReplicaStateCodec.Write(_state, output);

    /// <summary>What the view's dot-key space must learn at this seal.</summary>
    public IReadOnlyList<DotKeyChange> TakeIndexChanges() => _state.Index.TakeChanges();

    /// <summary>The view's dot-key space holds records that are not wanted any more.</summary>
    public bool HasIndexRemovals => _state.Index.HasRemovals;

    /// <summary>Record keys to be removed from the view's dot-key space before the next seal, should there be none for a while.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> TakeIndexRemovals() => _state.Index.TakeRemovals();

    /// <summary>Takes the state of the last seal, after construction and before anything else.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such state.</exception>
    public void ReadState(ReadOnlyMemory<byte> bytes)
    {
        ReplicaStateCodec.Read(_state, bytes);
        _advertiseDue = true;
    }

    /// <summary>Takes one record of the view's dot-key space, after <see cref="ReadState"/> and before any <see cref="Replay"/>.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public void RestoreIndexed(ReadOnlySpan<byte> recordKey, ReadOnlySpan<byte> key)
    {
        if (key.Length is 0 or > Key.MaxLength)
        {
            throw new MalformedRecordException("a dot-key record holds no key");
        }

        Dot dot = DotKeyIndex.DotOfRecordKey(recordKey);
        if (Clock.Add(dot))
        {
            _state.Index.Restore(dot, Key.CopyOf(key));
            DurableClock.Add(dot);
        }
    }

    /// <summary>Supersedes all that this replica holds of the key, what it has seen and evicted (whoever overwrites blindly means that too), and what the client has seen, be it somewhere else.</summary>
    private DottedWrite Overwrite(
        Key key, DottedObject stored, VersionVector seen, ReadOnlyMemory<byte>? value, HybridTimestamp timestamp, ulong operation, Lifetime lifetime, in RequestId request)
    {
        DottedObject filled = Fill(key, _state.LetGo is null ? stored : stored.Fill(Clock.BaseVector));
        return Mint(key, stored, filled, DottedObject.Gone(filled.Context.Join(seen)), value, timestamp, operation, lifetime, request);
    }

    private DottedWrite Mint(
        Key key, DottedObject stored, DottedObject filled, DottedObject kept, ReadOnlyMemory<byte>? value, HybridTimestamp timestamp, ulong operation, Lifetime lifetime, in RequestId request = default)
    {
        if (!TryMint(filled, out Dot dot))
        {
            return DottedWrite.Refused(DottedWriteStatus.ContextAhead);
        }

        kept = WithLetGo(kept);
        DottedObject written = value is { } bytes
            ? kept.Write(new DottedValue(dot, timestamp, bytes) { ExpiresMs = lifetime.ExpiresMs })
            : kept.Write(dot, null, timestamp);
        return Publish(key, stored, written, dot, operation, request);
    }

    /// <summary>Whoever learns that a dot is superseded must learn what that dot had superseded, or an old value stays where only this write arrives.</summary>
    private DottedObject WithLetGo(DottedObject kept) => _state.LetGo is { } letGo ? kept.Fill(letGo.Covered) : kept;

    private bool TryMint(DottedObject filled, out Dot dot)
    {
        dot = new Dot(Self, _state.Minted + 1);
        if (filled.Context[Self] > _state.Minted)
        {
            return false;
        }

        _state.Minted = dot.Counter;
        return true;
    }

    private DottedWrite Publish(Key key, DottedObject stored, DottedObject written, Dot dot, ulong operation, in RequestId request = default)
    {
        DottedChange change = _state.Commit(key, stored, written, dot);
        _message.ResetWrittenCount();
        ReplicateMessage.Encode(_message, operation, key, dot, written, request);
        return new DottedWrite(DottedWriteStatus.Written, dot, change, written, _message.WrittenMemory);
    }

    private DottedChange ReplayChange(in DottedRecord record, ulong number, ReadOnlyMemory<byte> logRecord)
    {
        foreach (Dot dot in record.Dots)
        {
            _state.See(dot, record.Key);
            DurableClock.Add(dot);
            if (dot.Actor == Self)
            {
                _state.Minted = Math.Max(_state.Minted, dot.Counter);
            }
        }

        DottedObject stored = record.Stored.IsEmpty ? DottedObject.Empty : DottedObject.Decode(record.Stored);
        _state.Contexts.Note(record.Key, stored.Context);
        return new DottedChange(record.Key, number, stored, logRecord, record.Stored);
    }
}
