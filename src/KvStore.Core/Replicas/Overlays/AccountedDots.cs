using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// The dots of replica actors that the log has accounted for: what was merged, or superseded before it could be. Part of the replicated state of an ordered shard: changed by applying entries only,
/// kept in the view's Meta space, and carried by snapshots. A dot in here changes nothing when it comes again.
/// </summary>
internal sealed class AccountedDots
{
    /// <summary>Actors that <see cref="Beyond"/> tells apart: many times what restarts and late replicas amount to.</summary>
    public const int MaxNamed = 1_024;

    /// <summary>Nothing of the log comes late.</summary>
    private static readonly VersionVector AllOfLog = VersionVector.Of(new Dot(ActorId.Log, Dot.MaxCounter));

    /// <summary>Stands for more than is worth remembering one by one: reserved, so nobody mints it and no base ever covers it.</summary>
    private static readonly VersionVector Anything = VersionVector.Of(new Dot(new ActorId(2), Dot.MaxCounter));

    private VersionVector _beyond = VersionVector.Empty;
    private bool _dirty;

    public ShardClock Clock { get; private set; } = new();

    /// <summary>
    /// Dots are missing below some that are accounted for, or below some that a record names as superseded. Meanwhile a context must name what a record superseded there: the base of the clock does not
    /// imply it.
    /// </summary>
    public bool HasGaps { get; private set; }

    /// <summary>
    /// What the contexts of records may name above the base: a client that had read it where it was written has superseded it elsewhere, and it may still come. No less than the records say; it shrinks as the
    /// base moves.
    /// </summary>
    public VersionVector Beyond => _beyond;

    public static ReadOnlySpan<byte> MetaKey => "accounted"u8;

    public void Add(Dot dot)
    {
        Invariant.Assert(!dot.Actor.IsLog, "the log accounts for itself");
        _dirty |= Clock.Add(dot);
        Look();
    }

    public void AdvanceTo(Dot last)
    {
        Invariant.Assert(!last.Actor.IsLog, "the log accounts for itself");
        _dirty |= Clock.BaseOf(last.Actor) < last.Counter;
        Clock.AdvanceBase(last.Actor, last.Counter);
        Look();
    }

    /// <summary>An open episode has ended: the state holds all that its baseline covers.</summary>
    /// <param name="clock">What it covers.</param>
    /// <param name="beyond">What the contexts of its records name above the base of that.</param>
    public void Replace(ShardClock clock, VersionVector beyond)
    {
        Clock = clock;
        _beyond = VersionVector.Empty;
        _dirty = true;
        NoteContext(beyond);
    }

    /// <summary>A record with this context is about to be stored.</summary>
    public void NoteContext(VersionVector context)
    {
        VersionVector named = Bounded(_beyond.Join(context.Without(AllOfLog).Without(Clock.BaseVector)));
        _dirty |= !ReferenceEquals(named, _beyond);
        _beyond = named;
        Look();
    }

    /// <summary>
    /// Clients say which contexts they have read, and could make up actors without end. Of more than <see cref="MaxNamed"/> it is only known that there are some, until the next order finds fewer.
    /// </summary>
    public static VersionVector Bounded(VersionVector named) => named.Count > MaxNamed ? Anything : named;

    /// <summary>Before each seal.</summary>
    public void WriteTo(IReplicaStorage storage)
    {
        if (_dirty)
        {
            _dirty = false;
            var output = new ArrayBufferWriter<byte>(64);
            Clock.Encode(output);
            _beyond.Encode(output);
            storage.Put(RecordSpace.Meta, MetaKey, output.WrittenMemory);
        }
    }

    public void Restore(ReadOnlyMemory<byte> record)
    {
        BinaryCursor input = new(record);
        Clock = ShardClock.Decode(ref input);
        _beyond = VersionVector.Decode(ref input);
        input.ExpectEnd();
        Look();
    }

    /// <summary>The clock of a record that another replica's view holds.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public static ShardClock ReadClock(ReadOnlyMemory<byte> record)
    {
        BinaryCursor input = new(record);
        ShardClock clock = ShardClock.Decode(ref input);
        VersionVector.Decode(ref input);
        input.ExpectEnd();
        return clock;
    }

    public void Clear()
    {
        Clock = new ShardClock();
        _beyond = VersionVector.Empty;
        HasGaps = false;
        _dirty = false;
    }

    private void Look()
    {
        if (!_beyond.IsEmpty)
        {
            VersionVector rest = _beyond.Without(Clock.BaseVector);
            _dirty |= !ReferenceEquals(rest, _beyond);
            _beyond = rest;
        }

        HasGaps = !_beyond.IsEmpty || Clock.HasGaps;
    }
}
