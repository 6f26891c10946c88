using KvStore.Core.Identity;
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

    private readonly Dictionary<(ulong Session, ulong Sequence), ulong> _operations = [];
    private readonly Dictionary<ulong, OpenAnswer> _answers = [];
    private readonly Queue<(ulong Session, ulong Sequence)> _order = new();
    private readonly Dictionary<(ulong Session, ulong Sequence), Dot> _elsewhere = [];
    private readonly Queue<(ulong Session, ulong Sequence)> _orderElsewhere = new();

    /// <summary>The write of this operation number is over; nothing happens if it is not remembered.</summary>
    public void NoteAnswer(ulong pending, in OpenAnswer answer)
    {
        if (_answers.ContainsKey(pending))
        {
            _answers[pending] = answer;
        }
    }

    public OpenAnswer AnswerOf(ulong pending) => _answers.GetValueOrDefault(pending);

    public bool TryRepeat(in ClientOperation operation, out ulong pending)
    {
        pending = 0;
        return !operation.Request.IsNone && _operations.TryGetValue((operation.Request.Session, operation.Request.Sequence), out pending);
    }

    /// <summary>Whether another replica's write of this request has come here.</summary>
    public bool TryFindElsewhere(in RequestId request, out Dot dot)
    {
        dot = default;
        return !request.IsNone && _elsewhere.TryGetValue((request.Session, request.Sequence), out dot);
    }

    /// <summary>Another replica has made the write of this request. Should several have, the first that came counts: each of them is done.</summary>
    public void RememberElsewhere(in RequestId request, Dot dot)
    {
        if (request.IsNone || !_elsewhere.TryAdd((request.Session, request.Sequence), dot))
        {
            return;
        }

        _orderElsewhere.Enqueue((request.Session, request.Sequence));
        if (_orderElsewhere.Count > Capacity)
        {
            _elsewhere.Remove(_orderElsewhere.Dequeue());
        }
    }

    public void Remember(in ClientOperation operation, ulong pending)
    {
        if (operation.Request.IsNone)
        {
            return;
        }

        if (_order.Count == Capacity && _operations.Remove(_order.Dequeue(), out ulong forgotten))
        {
            _answers.Remove(forgotten);
        }

        (ulong, ulong) id = (operation.Request.Session, operation.Request.Sequence);
        _operations[id] = pending;
        _answers[pending] = default;
        _order.Enqueue(id);
    }
}
