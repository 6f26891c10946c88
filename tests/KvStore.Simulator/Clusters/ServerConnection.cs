using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Node.Clients;
using KvStore.Node.Loops;

namespace KvStore.Simulator.Clusters;

/// <summary>
/// A client's stream at the node: the production intake, and in the place of the gRPC stream a pipe. Watches that everything asked is answered once.
/// </summary>
internal sealed class ServerConnection : OperationOrigin
{
    private readonly ClusterNode _node;
    private readonly Action<byte[]> _toClient;
    private readonly OperationIntake _intake;
    private readonly HashSet<ulong> _unanswered = [];
    private readonly FrameBuffer _filling = new(2 * KvLimits.MaxMessageBytes);
    private bool _isDead;

    public ServerConnection(ClusterNode node, Action<byte[]> toClient, Action onBroken)
    {
        _node = node;
        _toClient = toClient;
        OnBroken = onBroken;
        _intake = new OperationIntake(this, node.Loops!, Answer);
    }

    /// <summary>Tells the client that the connection is gone.</summary>
    public Action OnBroken { get; }

    public int Unanswered => _unanswered.Count;

    public void Handle(byte[] frame)
    {
        if (_isDead)
        {
            return;
        }

        var reader = new OperationBatchReader(frame);
        while (reader.MoveNext(out WireOperation operation))
        {
            _unanswered.Add(operation.CallId);
        }

        if (_intake.Handle(frame))
        {
            Kick();
        }
    }

    public override void Deliver(ulong callId, ref WireResult result)
    {
        _intake.OnAnswered();
        Answer(result);
    }

    public override void Kick()
    {
        if (!_isDead && _filling.WrittenCount > 0)
        {
            byte[] frame = _filling.WrittenSpan.ToArray();
            _filling.Clear(int.MaxValue);
            _toClient(frame);
        }
    }

    /// <summary>The process or the client is gone: nothing comes out any more.</summary>
    public void Die() => _isDead = true;

    private void Answer(in WireResult result)
    {
        if (!_unanswered.Remove(result.CallId))
        {
            _node.World.Fail($"{_node.Id} answered call {result.CallId} twice, or without being asked: {result.Outcome} {result.Code} {result.Reason}");
        }

        _node.World.Trace.Add("answer", _node.Index, result.CallId, ((ulong)result.Outcome << 32) | (uint)result.Code);
        PipelineCodec.WriteResult(_filling, result);
    }
}
