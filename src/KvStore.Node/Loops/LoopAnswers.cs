using KvStore.Contracts.Pipeline;

namespace KvStore.Node.Loops;

/// <summary>Hands results to those who asked, and at the end of a step tells each of them once to send what it got.</summary>
internal sealed class LoopAnswers
{
    private readonly List<OperationOrigin> _toKick = [];

    public void Deliver(OperationOrigin origin, ulong callId, WireResult result)
    {
        result.CallId = callId;
        origin.Deliver(callId, ref result);
        if (_toKick.Count == 0 || !ReferenceEquals(_toKick[^1], origin))
        {
            _toKick.Add(origin);
        }
    }

    public void Kick()
    {
        foreach (OperationOrigin origin in _toKick)
        {
            origin.Kick();
        }

        _toKick.Clear();
    }
}
