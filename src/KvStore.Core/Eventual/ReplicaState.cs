using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// What one shard replica knows, and the one way in which it changes, a commit. The collaborators (writes, anti-entropy, full copy) share it.
/// </summary>
/// <remarks>
/// Invariants. (1) Every dot of <see cref="Clock"/> is either in <see cref="Index"/> or in <see cref="Unmapped"/>, never in both. (2) Outside a full copy, the filled object of a key is
/// the join of what the dots of the clock did to it: so equal clocks mean equal data. (3) The durable clock never holds what a power loss could take back.
/// </remarks>
internal sealed class ReplicaState
{
    private readonly Dot[] _oneDot = new Dot[1];

    public ReplicaState(ActorId self, ulong minted, DottedOptions options)
    {
        Self = self;
        Minted = minted;
        Options = options;
        LetGo = options.InMemory ? new LetGo() : null;
        Contexts = new UncoveredContexts(options.MaxRemembered);
        Digests = new DataDigests(this);
    }

    public ActorId Self { get; }

    public DottedOptions Options { get; }

    /// <summary>The last counter that this replica minted. A fact of its own, never derived from a clock.</summary>
    public ulong Minted { get; set; }

    /// <summary>The running number of the last record handed out for the log.</summary>
    public ulong Number { get; set; }

    public bool Recovering { get; set; }

    public ShardClock Clock { get; set; } = new();

    /// <summary>The dots that were seen and whose keys are not known: all peers have them, or they were never pulled.</summary>
    public ShardClock Unmapped { get; set; } = new();

    public DotKeyIndex Index { get; } = new();

    public Watermarks Peers { get; } = new();

    public DurableFrontier Frontier { get; } = new();

    public UncoveredContexts Contexts { get; }

    public DataDigests Digests { get; }

    /// <summary>Not null: objects are in memory only, and this was evicted.</summary>
    public LetGo? LetGo { get; }

    /// <summary>While a full copy runs: where it stands.</summary>
    public CopiedRanges? Copied { get; set; }

    public ArrayBufferWriter<byte> Scratch { get; } = new(1024);

    /// <summary>What is known to be accounted for in the stored object of this key: what it is to be filled with.</summary>
    public VersionVector KnownFor(Key key) => LetGo is not null ? VersionVector.Empty : Copied is null ? Clock.BaseVector : Copied.KnownFor(key, Clock.BaseVector);

    /// <summary>What the own clock implies for every stored object. Nothing, where objects may be evicted.</summary>
    public VersionVector FillBase => LetGo is null ? Clock.BaseVector : VersionVector.Empty;

    /// <summary>What need not be said any more in a stored context: what the own clock implies. Where it implies nothing, deletes are remembered until every peer has seen them.</summary>
    public VersionVector StripBase => LetGo is null || Peers.PeerCount == 0 ? Clock.BaseVector : Peers.Everywhere.BaseVector;

    /// <summary>Joins what came from a peer with the own object. Before the dots are counted as seen (C20).</summary>
    /// <param name="theirLetGo">Not null: what some of the dots had superseded is perhaps not in the object, but in what the peer has let go.</param>
    public DottedObject JoinReceived(Key key, DottedObject stored, DottedObject theirs, ReadOnlySpan<Dot> fresh, VersionVector? theirLetGo = null) => LetGo is null
        ? DottedObject.Sync(stored.Fill(KnownFor(key)), theirs)
        : LetGo.Join(key, stored, theirs, Clock, fresh, Copied is { } copied && copied.Covers(key) ? copied : null, theirLetGo);

    /// <param name="key">The key.</param>
    /// <param name="before">Its object as stored until now.</param>
    /// <param name="filled">The object from now on.</param>
    /// <param name="dot">The dot that it accounts for.</param>
    public DottedChange Commit(Key key, DottedObject before, DottedObject filled, Dot dot)
    {
        _oneDot[0] = dot;
        return Commit(key, before, filled, _oneDot);
    }

    /// <summary>Makes the joined object the stored one and counts the dots as seen, as one log record.</summary>
    public DottedChange Commit(Key key, DottedObject before, DottedObject filled, ReadOnlySpan<Dot> newDots)
    {
        Number++;
        Dot first = newDots.IsEmpty ? default : newDots[0];
        Dot[] more = newDots.Length > 1 ? newDots[1..].ToArray() : [];
        foreach (Dot dot in newDots)
        {
            See(dot, key);
            Frontier.Await(Number, dot);
        }

        if (LetGo is not null)
        {
            Contexts.Note(key, filled.IsEmpty ? filled.Context : VersionVector.Empty);
            Copied?.Touch(key);
            return new DottedChange(key, Number, filled, default, DottedRecord.EncodeStored(Scratch, filled)) { Before = before, Dot = first, MoreDots = more };
        }

        DottedObject stored = filled.Strip(Clock.BaseVector);
        (byte[] record, int storedBytes) = DottedRecord.EncodeChange(Scratch, key, newDots, stored);
        Contexts.Note(key, stored.Context);
        Digests.OnChanged(key, before, stored);
        Copied?.Touch(key);
        return new DottedChange(key, Number, stored, record, record.AsMemory(record.Length - storedBytes)) { Before = before, Dot = first, MoreDots = more };
    }

    public DottedMark CommitMark(DottedRecordKind kind, ShardClock? clock) => new(++Number, DottedRecord.EncodeMark(Scratch, kind, clock));

    /// <summary>Counts a dot as seen and keeps its key while some peer may lack it.</summary>
    public void See(Dot dot, Key key)
    {
        if (!Clock.Add(dot))
        {
            return;
        }

        if (Peers.PeerCount == 0 || Peers.Everywhere.Covers(dot))
        {
            Unmapped.Add(dot);
            return;
        }

        if (Index.Count >= Options.MaxIndexedDots)
        {
            Dot oldest = Index.Oldest;
            Index.Remove(oldest);
            Unmapped.Add(oldest);
        }

        Index.Add(dot, key);
    }

    /// <summary>Counts dots as seen whose keys nobody will be asked for.</summary>
    public void SeeUnmapped(ShardClock dots)
    {
        Index.RemoveCovered(dots, new ShardClock());
        Clock.Join(dots);
        Unmapped.Join(dots);
    }

    /// <summary>Recomputes what all peers have and forgets the keys of it.</summary>
    public void CollectGarbage()
    {
        ShardClock everywhere = Peers.ComputeEverywhere();
        ulong fresh = everywhere.CountMissingFrom(Peers.Everywhere);
        if (fresh > (ulong)Index.Count || Peers.PeerCount == 0)
        {
            Index.RemoveCovered(Peers.PeerCount == 0 ? Clock : everywhere, Unmapped);
        }
        else if (fresh > 0)
        {
            foreach (Dot dot in everywhere.MissingFrom(Peers.Everywhere))
            {
                Forget(dot);
            }
        }

        Peers.Everywhere = everywhere;
    }

    /// <summary>The same for one actor whose base a peer has just confirmed.</summary>
    public void CollectGarbage(ActorId actor)
    {
        ulong from = Peers.Everywhere.BaseOf(actor) + 1;
        ulong to = Peers.BaseEverywhere(actor);
        if (to < from)
        {
            return;
        }

        if (to - from > (ulong)Index.Count)
        {
            CollectGarbage();
            return;
        }

        for (ulong counter = from; counter <= to; counter++)
        {
            Forget(new Dot(actor, counter));
        }

        Peers.Everywhere.AdvanceBase(actor, to);
    }

    /// <summary>A dot under the own name that this replica did not mint: the identity was used twice, or a restored disk forgot what it did. Serving on would lose writes.</summary>
    public void AssertNotMintedElsewhere(ulong counterOfSelf) => Invariant.Assert(counterOfSelf <= Minted, "a peer knows a higher counter of this replica than it minted");

    private void Forget(Dot dot)
    {
        if (Index.Remove(dot))
        {
            Unmapped.Add(dot);
        }
    }
}
