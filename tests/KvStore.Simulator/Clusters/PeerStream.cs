using KvStore.Core.Identity;
using KvStore.Node.Peers;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Clusters;

/// <summary>
/// One lane from one node to another: empties the production lane into frames, bytes and all, and puts them on the simulated network; connects, notices by unanswered pings that the connection is dead,
/// and connects anew. Stands where the production sender has a gRPC stream.
/// </summary>
internal sealed class PeerStream(ClusterNode owner, ClusterNode peer, PeerLane lane, bool isBulk)
{
    private const int MaxFrameBytes = 1_048_576;
    private const int PingUs = 500_000;
    private const long SilenceUs = 4_000_000;

    private readonly OutboundFrame _frame = new();
    private readonly int _incarnation = owner.Incarnation;
    private long _lastHeardUs;
    private ulong _connection;
    private ulong _attempts;
    private bool _writing;
    private bool _ended;

    /// <summary>Names this lane at the receiver.</summary>
    public bool IsBulk => isBulk;

    private World World => owner.World;

    private Timeline Timeline => owner.World.Timeline;

    public void Connect()
    {
        if (_ended || _connection != 0)
        {
            return;
        }

        // Unique over all lives of this node, so that what is left of an old connection is told from the new one.
        ulong connection = ((ulong)_incarnation << 32) | ++_attempts;
        World.Send(owner, peer, () =>
        {
            if (peer.Accept(owner, isBulk, connection))
            {
                World.Send(peer, owner, () => OnConnected(connection));
            }
        });
        Timeline.After(owner.Dice.Next(50_000, 1_000_000), Connect);
    }

    /// <summary>Sends what has gathered, if no write is in flight.</summary>
    public void Pump()
    {
        if (_ended || _writing || _connection == 0 || !lane.TryTake(_frame, MaxFrameBytes, long.MaxValue, out _))
        {
            return;
        }

        byte[] bytes = new byte[_frame.Length];
        int at = 0;
        foreach (OutboundBuffer part in _frame.Parts)
        {
            part.Written.CopyTo(bytes.AsSpan(at));
            at += part.Length;
        }

        lane.Release(_frame);
        ulong connection = _connection;
        World.Trace.Add("frame", owner.Index, (ulong)peer.Index, ((ulong)(uint)KeyHash.Of(bytes) << 32) | (uint)bytes.Length);
        World.Trace.Count(isBulk ? "bulk frame" : "frame");
        World.Send(owner, peer, () => peer.Receive(this, owner, connection, bytes));
        _writing = true;
        Timeline.After(owner.Dice.Next(5, 200), () =>
        {
            _writing = false;
            Pump();
        });
    }

    /// <summary>The connection is no more. Both ends learn it when they learn it.</summary>
    public void Break(ulong connection, string why)
    {
        if (_ended || _connection != connection || connection == 0)
        {
            return;
        }

        World.Trace.Add("break " + why, owner.Index, (ulong)peer.Index, connection);
        World.Trace.Count("connection broken: " + why);
        _connection = 0;
        lane.Close();
        if (!isBulk)
        {
            owner.OnPeerLost(peer);
        }

        Timeline.After(owner.Dice.Next(20_000, 500_000), Connect);
    }

    /// <summary>The process is gone.</summary>
    public void End()
    {
        _ended = true;
        lane.Close();
    }

    private void OnConnected(ulong connection)
    {
        if (_ended || _connection != 0 || owner.Incarnation != _incarnation || connection != (((ulong)_incarnation << 32) | _attempts))
        {
            return;
        }

        World.Trace.Add("connected", owner.Index, (ulong)peer.Index, connection);
        _connection = connection;
        _lastHeardUs = Timeline.NowUs;
        lane.Open();
        Ping(connection);
    }

    private void Ping(ulong connection)
    {
        if (_ended || _connection != connection)
        {
            return;
        }

        if (Timeline.NowUs - _lastHeardUs > SilenceUs && !owner.IsPaused)
        {
            Break(connection, "silence");
            return;
        }

        World.Send(owner, peer, () =>
        {
            if (peer.IsAccepted(owner, isBulk, connection))
            {
                World.Send(peer, owner, () => _lastHeardUs = Timeline.NowUs);
            }
            else if (peer.IsUp)
            {
                World.Send(peer, owner, () => Break(connection, "reset"));
            }
        });
        Timeline.After(PingUs, () => Ping(connection));
    }
}
