using KvStore.Contracts.Pipeline;

namespace KvStore.Node.Loops;

/// <summary>Who asked, and gets the result: a client's stream, a unary call, another node.</summary>
internal abstract class OperationOrigin
{
    /// <summary>Drops results.</summary>
    public static readonly OperationOrigin Nobody = new NobodyOrigin();

    /// <summary>Takes one result; memory in it is valid only during the call. Several loops may call at one time.</summary>
    public abstract void Deliver(ulong callId, ref WireResult result);

    /// <summary>The step of the loop is over: send what was delivered. Called at least once after the last delivery of a step.</summary>
    public abstract void Kick();

    private sealed class NobodyOrigin : OperationOrigin
    {
        public override void Deliver(ulong callId, ref WireResult result)
        {
        }

        public override void Kick()
        {
        }
    }
}
