using System.Buffers;
using CsCheck;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Tests.Versioning;

/// <summary>Small, colliding values: four actors, counters up to 12.</summary>
internal static class VersioningGen
{
    public static readonly ActorId[] Actors = [ActorId.Log, new(70_001), new(70_002), new(70_003)];

    public static readonly Gen<Dot> Dots = Gen.Select(Gen.Int[0, 3], Gen.ULong[1, 12], (actor, counter) => new Dot(Actors[actor], counter));

    public static readonly Gen<VersionVector> Vectors = Dots.Array[0, 5].Select(dots => VersionVector.Of(dots));

    public static readonly Gen<ShardClock> Clocks = Dots.Array[0, 30].Select(ClockOf);

    /// <summary>Filled objects: the context covers every live dot, and a dot has the same value everywhere.</summary>
    public static readonly Gen<DottedObject> Objects = Gen.Select(Dots.Array[0, 4], Vectors, (dots, context) =>
    {
        DottedObject built = DottedObject.Gone(context);
        foreach (Dot dot in dots.Distinct())
        {
            built = built.Write(OfEveryForm(dot));
        }

        return built;
    });

    /// <summary>One in four is a counter's total, one in two expires.</summary>
    private static DottedValue OfEveryForm(Dot dot)
    {
        bool counts = dot.Counter % 4 == 1;
        return new DottedValue(dot, TimestampOf(dot), counts ? CounterTotal.Encode((long)dot.Counter, new ReplicaId(dot.Actor.Value), new RequestId(9, dot.Counter, 0)) : ValueOf(dot))
        {
            Form = counts ? ValueForm.Counter : ValueForm.Bytes,
            ExpiresMs = dot.Counter % 4 < 2 ? 1_000 + dot.Counter : 0,
        };
    }

    public static ShardClock ClockOf(IEnumerable<Dot> dots)
    {
        ShardClock clock = new();
        foreach (Dot dot in dots)
        {
            clock.Add(dot);
        }

        return clock;
    }

    public static byte[] ValueOf(Dot dot) => [(byte)dot.Actor.Value, (byte)dot.Counter];

    public static HybridTimestamp TimestampOf(Dot dot) => HybridTimestamp.FromPhysical((long)(dot.Counter % 5));

    public static byte[] Encoded(Action<ArrayBufferWriter<byte>> encode)
    {
        ArrayBufferWriter<byte> writer = new();
        encode(writer);
        return writer.WrittenSpan.ToArray();
    }
}
