using KvStore.Core.Identity;

namespace KvStore.Core.Versioning;

public enum IncrementStatus : byte
{
    /// <summary>Counted: there is a new object.</summary>
    Counted = 1,

    /// <summary>The request was counted before, here or where this object came from.</summary>
    Repeated = 2,

    /// <summary>The key holds a value that is no counter.</summary>
    WrongType = 3,

    /// <summary>The counter would leave the range of 64 bits.</summary>
    Overflow = 4,
}

/// <param name="Status">Only <see cref="IncrementStatus.Counted"/> carries a new object.</param>
/// <param name="Object">The filled object with the new total in it.</param>
/// <param name="Sum">The counter afterwards, or as it stands.</param>
public readonly record struct Incremented(IncrementStatus Status, DottedObject Object, long Sum);

/// <summary>
/// Counters inside dotted objects: one running total per actor, summed at read, never folded across actors. The log is one more actor. So what a replica, a provisional side or the log has added stays
/// apart until it is read, and joining copies in any order counts each increment once.
/// </summary>
public static class DottedCounter
{
    /// <param name="alive">The key's filled object, without what has expired.</param>
    /// <param name="dot">Freshly minted, if the increment is counted.</param>
    /// <param name="owner">The replica that mints; none for the log.</param>
    /// <param name="retired">Whether an actor is an earlier life of the owner that can mint no more and of which nothing is missing here: its total is carried over.</param>
    /// <param name="delta">What to add.</param>
    /// <param name="request">Remembered in the total.</param>
    /// <param name="timestamp">Of the increment.</param>
    /// <param name="expiresMs">When the counter expires if this creates it; an existing one keeps its expiry.</param>
    public static Incremented Increment(
        DottedObject alive, Dot dot, ReplicaId owner, Func<ActorId, bool> retired, long delta, in RequestId request, HybridTimestamp timestamp, ulong expiresMs)
    {
        if (HasCounted(alive, request))
        {
            return new Incremented(IncrementStatus.Repeated, alive, Clamp(SumOf(alive)));
        }

        Int128 sum = SumOf(alive);
        Int128 own = 0;
        List<RequestId> requests = [];
        List<Dot> superseded = [];
        foreach (ref readonly DottedValue value in alive.Values)
        {
            if (!value.IsCounter)
            {
                return new Incremented(IncrementStatus.WrongType, alive, 0);
            }

            CounterTotal total = CounterTotal.Decode(value.Value);
            if (value.Dot.Actor == dot.Actor || (!owner.IsNone && total.Owner == owner && retired(value.Dot.Actor)))
            {
                own += total.Total;
                superseded.Add(value.Dot);
                if (timestamp.PhysicalMs - value.Timestamp.PhysicalMs <= CounterTotal.RememberMs)
                {
                    total.CopyRequests(requests);
                }
            }
        }

        if (!Fits(sum + delta) || !Fits(own + delta))
        {
            return new Incremented(IncrementStatus.Overflow, alive, Clamp(sum));
        }

        if (!request.IsNone)
        {
            requests.Add(request);
        }

        if (requests.Count > CounterTotal.MaxRequests)
        {
            requests.RemoveRange(0, requests.Count - CounterTotal.MaxRequests);
        }

        byte[] encoded = CounterTotal.Encode((long)(own + delta), owner, [.. requests]);
        var written = new DottedValue(dot, timestamp, encoded) { Form = ValueForm.Counter, ExpiresMs = alive.IsEmpty ? expiresMs : ExpiryOf(alive) };
        return new Incremented(IncrementStatus.Counted, alive.Supersede(superseded).Write(written), (long)(sum + delta));
    }

    /// <summary>Whether one of the totals remembers the request.</summary>
    public static bool HasCounted(DottedObject held, in RequestId request)
    {
        foreach (ref readonly DottedValue value in held.Values)
        {
            if (value.IsCounter && CounterTotal.Decode(value.Value).Holds(request))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The sum over the actors. Concurrent increments may take it out of the range of 64 bits, where no single one would: readers then see the nearest bound.</summary>
    public static Int128 SumOf(DottedObject alive)
    {
        Int128 sum = 0;
        foreach (ref readonly DottedValue value in alive.Values)
        {
            sum += value.IsCounter ? CounterTotal.Decode(value.Value).Total : 0;
        }

        return sum;
    }

    public static long Clamp(Int128 sum) => sum > long.MaxValue ? long.MaxValue : sum < long.MinValue ? long.MinValue : (long)sum;

    /// <summary>A counter expires as a whole, when the last of its totals does. Zero: never, or there is none.</summary>
    public static ulong ExpiryOf(DottedObject held)
    {
        ulong latest = 0;
        foreach (ref readonly DottedValue value in held.Values)
        {
            if (!value.IsCounter)
            {
                continue;
            }

            if (value.ExpiresMs == 0)
            {
                return 0;
            }

            latest = Math.Max(latest, value.ExpiresMs);
        }

        return latest;
    }

    private static bool Fits(Int128 value) => value >= long.MinValue && value <= long.MaxValue;
}
