using KvStore.Client.Operations;
using KvStore.Client.Routing;
using Microsoft.Extensions.Logging;

namespace KvStore.Client.Connections;

/// <summary>One connection per member, replaced as a whole when members change.</summary>
internal sealed class ConnectionTable(KvClientOptions options, Dispatcher dispatcher, StreamFactory streams) : IRoutableNodes
{
    private readonly Lock _gate = new();
    private readonly List<LostAttempt> _lost = [];
    private readonly List<SlowRead> _slow = [];
    private readonly string _scheme = new Uri(options.Endpoints[0]).Scheme;
    private volatile Dictionary<uint, NodeConnection> _byNode = [];
    private volatile NodeConnection[] _all = [];
    private bool _isClosed;

    public ReadOnlySpan<NodeConnection> All => _all;

    public ILogger? Log { get; set; }

    ReadOnlySpan<IRoutableNode> IRoutableNodes.All => _all;

    public NodeConnection? Find(uint node) => _byNode.GetValueOrDefault(node);

    IRoutableNode? IRoutableNodes.Find(uint node) => Find(node);

    /// <summary>Opens connections to new members and closes those to former ones. A member with a new address gets a new connection.</summary>
    public void Apply(IReadOnlyList<KvMember> members)
    {
        List<NodeConnection> gone = [];
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            Dictionary<uint, NodeConnection> next = [];
            foreach (KvMember member in members)
            {
                Uri address = new($"{_scheme}://{member.Address}");
                next[member.Node] = Find(member.Node) is { } known && known.Address == address ? known : new NodeConnection(member.Node, address, dispatcher, streams);
            }

            gone.AddRange(_all.Where(c => next.GetValueOrDefault(c.Node) != c));
            _byNode = next;
            _all = [.. next.Values];
        }

        long nowMs = dispatcher.Clock.NowMs;
        foreach (NodeConnection connection in All)
        {
            connection.Open(nowMs);
        }

        gone.ForEach(c => c.Close());
    }

    public void OnBroken(NodeConnection connection, bool stood, Exception? cause)
    {
        if (Log is { } log && !_isClosed)
        {
            ClientLog.StreamBroken(log, connection.Node, connection.Address, stood, cause?.Message);
        }
    }

    /// <summary>Called by the sweeper only.</summary>
    public void Sweep(long nowMs)
    {
        foreach (NodeConnection connection in All)
        {
            connection.Sweep(nowMs, _lost);
        }

        if (!dispatcher.Hedging.IsEnabled)
        {
            return;
        }

        foreach (NodeConnection connection in All)
        {
            connection.TakeSlow(nowMs, dispatcher.Hedging.DelayMs, _slow);
            foreach (SlowRead slow in _slow)
            {
                dispatcher.Hedge(slow, connection.Node, nowMs);
            }
        }
    }

    public void Close()
    {
        lock (_gate)
        {
            _isClosed = true;
        }

        foreach (NodeConnection connection in All)
        {
            connection.Close();
        }
    }
}
