using KvStore.Core.Identity;
using KvStore.Core.Tables;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>What became of a write that is remembered.</summary>
/// <param name="State">Whether it was answered.</param>
/// <param name="Acknowledgements">Done: on how many replicas it was.</param>
/// <param name="Degraded">Done: whether that was fewer than asked for.</param>
/// <param name="Version">Done: the version it made.</param>
/// <param name="Counter">Done: the counter after an increment.</param>
internal readonly record struct OpenAnswer(OpenAnswerState State, int Acknowledgements = 0, bool Degraded = false, ReadOnlyMemory<byte> Version = default, long Counter = 0);

internal enum OpenAnswerState : byte
{
    /// <summary>It still waits for replicas.</summary>
    Waiting = 0,
    Done = 1,

    /// <summary>Its deadline passed before enough replicas had confirmed it: it was answered "unknown", and a retry must not claim more.</summary>
    Unresolved = 2,
}

/// <summary>
/// Recent requests of the open regime, in memory: those that this replica has coordinated, whose retries are answered like the first attempt; and those whose writes others have pushed here, whose retries are answered as done,
/// under the dot that they have. Either way no second dot is minted. Where the first attempt is not known (its push was lost or is still on its way, or this process began after it), a retry is a second write of the same value:
/// blind, it supersedes the first where it has arrived, and becomes a sibling with an equal value where it has not.
/// </summary>
internal sealed class OpenRequests
{
    /// <summary>Requests remembered, of either kind; the oldest are forgotten first.</summary>
    public const int Capacity = 8_192;

    private readonly RecentRequests<Own> _own = new(Capacity);

    /// <summary>Of those, by operation number.</summary>
    private readonly SlotIndex _byPending = new();
    private readonly RecentRequests<Dot> _elsewhere = new(Capacity);

    /// <summary>The write of this operation number is over; nothing happens if it is not remembered.</summary>
    public void NoteAnswer(ulong pending, in OpenAnswer answer)
    {
        int slot = SlotOf(pending);
        if (slot >= 0)
        {
            _own.At(slot).Answer = answer;
        }
    }

    public OpenAnswer AnswerOf(ulong pending) => SlotOf(pending) is >= 0 and int slot ? _own.At(slot).Answer : default;

    public bool TryRepeat(in ClientOperation operation, out ulong pending)
    {
        int slot = operation.Request.IsNone ? -1 : _own.Find(operation.Request);
        pending = slot < 0 ? 0 : _own.At(slot).Pending;
        return slot >= 0;
    }

    /// <summary>Whether another replica's write of this request has come here.</summary>
    public bool TryFindElsewhere(in RequestId request, out Dot dot)
    {
        int slot = request.IsNone ? -1 : _elsewhere.Find(request);
        dot = slot < 0 ? default : _elsewhere.At(slot);
        return slot >= 0;
    }

    /// <summary>Another replica has made the write of this request. Should several have, the first that came counts: each of them is done.</summary>
    public void RememberElsewhere(in RequestId request, Dot dot)
    {
        if (!request.IsNone && _elsewhere.Find(request) < 0)
        {
            _elsewhere.Add(request, dot, out _, out _);
        }
    }

    /// <summary>This replica makes the write of the operation's request, under an operation number that it has not used before. If it did so in an earlier period, that is forgotten.</summary>
    public void Remember(in ClientOperation operation, ulong pending)
    {
        if (operation.Request.IsNone)
        {
            return;
        }

        var own = new Own { Pending = pending };
        int slot = _own.Find(operation.Request);
        bool replaces = slot >= 0;
        Own earlier = replaces ? _own.At(slot) : default;
        if (replaces)
        {
            _own.At(slot) = own;
        }
        else
        {
            slot = _own.Add(operation.Request, own, out earlier, out replaces);
        }

        if (replaces)
        {
            _byPending.Remove(HashOf(earlier.Pending), slot);
        }

        _byPending.Add(HashOf(pending), slot);
    }

    private static int HashOf(ulong pending) => SlotIndex.HashOf(0, pending);

    private int SlotOf(ulong pending)
    {
        for (SlotIndex.Probe probe = _byPending.Of(HashOf(pending)); probe.Next(out int slot);)
        {
            if (_own.At(slot).Pending == pending)
            {
                return slot;
            }
        }

        return -1;
    }

    private struct Own
    {
        public ulong Pending;
        public OpenAnswer Answer;
    }
}
