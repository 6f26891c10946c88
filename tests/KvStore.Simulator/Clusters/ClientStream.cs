using KvStore.Client.Connections;
using KvStore.Client.Operations;

namespace KvStore.Simulator.Clusters;

/// <summary>A client's stream to one node: the production backlog, and in the place of the gRPC stream two pipes.</summary>
internal sealed class ClientStream : IOperationStream
{
    private const int ConnectTimeoutUs = 2_000_000;
    private const int ConnectAgainUs = 100_000;

    private readonly ClusterClient _client;
    private readonly NodeConnection _owner;
    private readonly Dispatcher _dispatcher;
    private readonly ClusterNode _node;
    private readonly StreamBacklog _backlog;
    private readonly OrderedPipe _out;
    private readonly OrderedPipe _back;
    private readonly long _openedUs;
    private ServerConnection? _server;
    private bool _mustFlush;

    public ClientStream(ClusterClient client, NodeConnection owner, Dispatcher dispatcher, ClusterNode node)
    {
        _client = client;
        _owner = owner;
        _dispatcher = dispatcher;
        _node = node;
        _backlog = new StreamBacklog(owner.Node, dispatcher, client.Options.MaxInFlightPerNode, client.Options.MaxInFlightBytesPerNode);
        _out = new OrderedPipe(client.World.Timeline, client.Dice, () => client.IsCutFrom(node) || node.IsPaused, () => Break(new IOException("stuck")));
        _back = new OrderedPipe(client.World.Timeline, client.Dice, () => client.IsCutFrom(node), () => Break(new IOException("stuck")));
        _openedUs = client.World.Timeline.NowUs;
        client.World.Timeline.After(client.Dice.Next(50, 1_000), TryConnect);
    }

    public bool IsConnected => _backlog.IsConnected;

    public bool IsBroken => _backlog.IsBroken;

    public double ExpectedWait => _backlog.ExpectedWait;

    public ClusterNode Node => _node;

    public Submission TrySubmit(KvOperation operation)
    {
        Submission submission = _backlog.TrySubmit(operation, out bool mustFlush);
        if (mustFlush)
        {
            _mustFlush = true;
            _client.World.Timeline.After(_client.Dice.Next(1, 50), Flush);
        }

        return submission;
    }

    public void Sweep(long nowMs, List<LostAttempt> lost) => _backlog.Sweep(nowMs, lost);

    public void TakeSlow(long nowMs, double delayMs, List<SlowRead> slow) => _backlog.TakeSlow(this, nowMs, delayMs, slow);

    public KvOperation? Withdraw(ulong callId) => _backlog.Withdraw(callId);

    public void Break(Exception? cause)
    {
        if (_backlog.Break() is not { } lost)
        {
            return;
        }

        _client.World.Trace.Count("client stream broken");
        _out.Close();
        _back.Close();
        if (_server is { } server)
        {
            server.Die();
            _node.Disconnect(server);
        }

        _owner.OnBroken(this, cause);
        foreach (LostAttempt attempt in lost)
        {
            _dispatcher.OnLost(attempt.Operation, _owner.Node, attempt.Loss);
        }

        _client.Look();
    }

    private void TryConnect()
    {
        if (IsBroken)
        {
            return;
        }

        bool silent = _node.IsPaused || _client.IsCutFrom(_node);
        if (silent && _client.World.Timeline.NowUs - _openedUs < ConnectTimeoutUs)
        {
            _client.World.Timeline.After(ConnectAgainUs, TryConnect);
            return;
        }

        if (silent || !_node.IsUp)
        {
            Break(new IOException(silent ? "timed out" : "refused"));
            return;
        }

        _server = _node.Connect(frame => _back.Send(() => Receive(frame)), () => Break(new IOException("reset")));
        _backlog.OnConnected();
        Flush();
    }

    /// <summary>One write in flight: what gathers meanwhile is the next one.</summary>
    private void Flush()
    {
        if (!IsConnected || !_mustFlush)
        {
            return;
        }

        if (!_backlog.TryHandOver(out Outbound messages))
        {
            _mustFlush = false;
            return;
        }

        for (int i = 0; i < messages.MessageCount; i++)
        {
            byte[] message = messages.Message(i).ToArray();
            _out.Send(() => _server!.Handle(message));
        }

        messages.Clear();
        _client.World.Timeline.After(_client.Dice.Next(10, 200), Flush);
    }

    private void Receive(byte[] frame)
    {
        if (IsBroken)
        {
            return;
        }

        if (_backlog.TakeAnswers(frame))
        {
            _owner.OnAnswered();
        }

        _client.Look();
    }
}
