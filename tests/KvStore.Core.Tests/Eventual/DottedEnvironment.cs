using FluentAssertions;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;

namespace KvStore.Core.Tests.Eventual;

/// <summary>
/// Several replicas, a network that does what it is told, and the record of every write ever made, against which any replica can be checked: what it holds of a key must be the join of what
/// the dots of its clock did to it.
/// </summary>
internal sealed class DottedEnvironment
{
    private readonly Random _random;
    private readonly List<Message> _network = [];

    public DottedEnvironment(int nodes, int seed = 1, DottedOptions? options = null, ShardClock? initialClock = null)
    {
        _random = new Random(seed);
        Options = options ?? DottedOptions.Default;
        InitialClock = initialClock ?? new ShardClock();
        Ids = [.. Enumerable.Range(1, nodes).Select(id => new NodeId((uint)id))];
        Nodes = [.. Ids.Select(id => new DottedNode(this, id))];
    }

    public DottedOptions Options { get; }

    public ShardClock InitialClock { get; }

    public NodeId[] Ids { get; }

    public DottedNode[] Nodes { get; }

    /// <summary>Every write that was ever made, also those that a power loss took back.</summary>
    public SortedDictionary<Dot, (Key Key, DottedObject Written)> Events { get; } = [];

    public HashSet<(NodeId From, ulong Operation)> Acknowledged { get; } = [];

    public int FullCopies { get; set; }

    public int CopyPageKeys { get; set; } = 2;

    /// <summary>Whether pages wait until all that fills them is durable, as they must where replicas lose their power.</summary>
    public bool HoldsPages { get; set; }

    /// <summary>Called between the moment a copied range is accepted and its join.</summary>
    public Action? BeforeJoin { get; set; }

    public int InFlight => _network.Count;

    public DottedNode this[int number] => Nodes[number - 1];

    public ActorId DrawActor() => ActorId.Draw(_random);

    public IReadOnlyList<NodeId> PeersOf(NodeId id) => [.. Ids.Where(other => other != id)];

    public void Post(NodeId from, NodeId to, DottedMessageKind kind, byte[] bytes) => _network.Add(new Message(from, to, kind, bytes));

    public void DropAll() => _network.Clear();

    public void DropTo(int node) => _network.RemoveAll(message => message.To.Value == (uint)node);

    /// <summary>Takes the messages to a node out of the network; deliver them later with <see cref="Deliver"/>.</summary>
    public List<Message> HoldTo(int node)
    {
        List<Message> held = [.. _network.Where(message => message.To.Value == (uint)node)];
        DropTo(node);
        return held;
    }

    public void Deliver(Message message) => Nodes[message.To.Value - 1].Receive(message.From, message.Kind, message.Bytes);

    /// <summary>Delivers one message at random; sometimes it stays in the network as well, to come again.</summary>
    public void DeliverOne(double duplicate)
    {
        int index = _random.Next(_network.Count);
        Message message = _network[index];
        if (_random.NextDouble() >= duplicate)
        {
            _network.RemoveAt(index);
        }

        Deliver(message);
    }

    public void DropOne() => _network.RemoveAt(_random.Next(_network.Count));

    public void DeliverAll()
    {
        for (int delivered = 0; _network.Count > 0; delivered++)
        {
            delivered.Should().BeLessThan(100_000, "the dialogue must come to an end");
            Message next = _network[0];
            _network.RemoveAt(0);
            Deliver(next);
        }
    }

    /// <summary>Everybody makes durable what they have, advertises it, and pulls, until nothing changes any more.</summary>
    public void Heal()
    {
        for (int round = 0; round < 6; round++)
        {
            foreach (DottedNode node in Nodes)
            {
                node.Replica.FullCopy.GiveUpHope();
            }

            foreach (DottedNode node in Nodes)
            {
                if (node.Replica.IsRecovering)
                {
                    ContinueCopy(node);
                }

                node.MakeDurable();
                node.Advertise();
                DeliverAll();
                node.MakeDurable();
                node.Fade();
            }
        }
    }

    /// <summary>What the dots of a clock did to a key, from the record of all writes.</summary>
    public DottedObject Expected(Key key, ShardClock clock)
    {
        DottedObject expected = DottedObject.Empty;
        foreach ((Dot dot, (Key written, DottedObject after)) in Events)
        {
            if (written == key && clock.Covers(dot))
            {
                expected = DottedObject.Sync(expected, after);
            }
        }

        return expected;
    }

    /// <summary>The invariant that makes equal clocks mean equal data.</summary>
    public void CheckDataMatchesClock(DottedNode node)
    {
        foreach (Key key in Events.Values.Select(written => written.Key).Distinct())
        {
            DottedObject filled = node.Replica.Fill(key, node.Stored(key));
            DottedObject expected = Expected(key, node.Replica.Clock);
            bool matches = ObjectVersion.Of(filled).Matches(expected) && filled.Context.Descends(expected.Context);
            matches.Should().BeTrue($"{key} at {node.Id} should be {expected} by clock {node.Replica.Clock}, not {filled}; copies {FullCopies}; all writes: {WritesTo(key)}");
        }
    }

    public void CheckConverged()
    {
        foreach (DottedNode node in Nodes)
        {
            node.Replica.IsRecovering.Should().BeFalse();
            node.Replica.Clock.Should().Be(Nodes[0].Replica.Clock);
            node.Replica.DurableClock.Should().Be(node.Replica.Clock);
            node.Replica.IndexedDots.Should().Be(0, "every peer has every dot");
            node.Replica.PeersBehind().Should().BeEmpty();
            CheckDataMatchesClock(node);
        }
    }

    /// <summary>For a failure's message.</summary>
    public string WritesTo(Key key)
        => string.Join("; ", Events.Where(written => written.Value.Key == key).Select(written => $"{written.Key} {written.Value.Written}"));

    private void ContinueCopy(DottedNode node)
    {
        NodeId source = Nodes.First(other => other != node && !other.Replica.IsRecovering).Id;
        if (!node.Replica.FullCopy.IsCatchingUp)
        {
            node.BeginCopy();
            node.RequestCopy(source);
        }
        else
        {
            node.Pull(source);
        }
    }

    internal sealed record Message(NodeId From, NodeId To, DottedMessageKind Kind, byte[] Bytes);
}
