using KvStore.Simulator.Network;

namespace KvStore.Simulator.Faults;

/// <summary>Cuts of all shapes, and links that work badly. Each passes again.</summary>
internal sealed class NetworkFaults(IFaultGround ground)
{
    private bool _ended;

    private SimulatedNetwork Network => ground.Network;

    private int Count => ground.NodeCount;

    public void End()
    {
        _ended = true;
        Network.Calm();
    }

    public void Strike(FaultKind kind, Random random)
    {
        int node = random.Next(Count);
        ground.Trace.Fault(Names[(int)kind], node);
        switch (kind)
        {
            case FaultKind.Partition:
                int sides = random.Next(1, 1 << Count);
                CutWhere((one, other) => ((sides >> one) & 1) != ((sides >> other) & 1), HoldUs(random));
                break;
            case FaultKind.Isolation:
                int alone = random.Next(2) == 0 ? ground.LeaderIndex ?? node : node;
                CutWhere((one, other) => (one == alone) != (other == alone), HoldUs(random));
                break;
            case FaultKind.OneWayCut:
                CutOneWay(node, random);
                break;
            case FaultKind.LinkCut:
                int peer = (node + random.Next(1, Count)) % Count;
                CutWhere((one, other) => (one == node && other == peer) || (one == peer && other == node), 2 * HoldUs(random));
                break;
            case FaultKind.Bridge:
                CutWhere((one, other) => one != node && other != node && IsLeftOf(one, node) != IsLeftOf(other, node), HoldUs(random));
                break;
            case FaultKind.Ring:
                CutWhere((one, other) => !AreNeighbours(one, other), HoldUs(random));
                break;
            case FaultKind.Flapping:
                Flap(node, random);
                break;
            case FaultKind.BadNetwork:
                Degrade(random);
                break;
            case FaultKind.LateReplays:
                Network.Duplication = 0.2;
                Network.Lateness = 0.5;
                Network.MaxLatenessUs = 150_000_000;
                Later(random.Next(200_000, 4_000_000), Calm);
                break;
            default:
                SlowDown(node, random);
                break;
        }
    }

    /// <summary>All links of one node, or each link for itself.</summary>
    private void SlowDown(int node, Random random)
    {
        long holdUs = HoldUs(random);
        if (random.Next(2) == 0)
        {
            Network.SlowNode = node;
            Network.SlowNodeDelayUs = random.Next(20_000, 400_000);
            Later(holdUs, () => Network.SlowNode = -1);
            return;
        }

        for (int from = 0; from < Count; from++)
        {
            for (int to = 0; to < Count; to++)
            {
                Network.Queue(from, to, random.Next(2) * random.Next(800_000));
            }
        }

        Later(holdUs, Network.EndQueues);
    }

    private static readonly string[] Names = Enum.GetNames<FaultKind>();

    private static long HoldUs(Random random) => random.Next(50_000, 5_000_000);

    private bool AreNeighbours(int one, int other) => (one + 1) % Count == other || (other + 1) % Count == one;

    /// <summary>Which half a node belongs to, seen from the one in the middle.</summary>
    private bool IsLeftOf(int node, int middle) => (node - middle + Count) % Count <= (Count - 1) / 2;

    private void CutOneWay(int node, Random random)
    {
        // One link, or all that a node hears, or all that it says.
        int shape = random.Next(3);
        if (shape > 0 && random.Next(2) == 0)
        {
            node = ground.LeaderIndex ?? node;
        }

        int peer = (node + random.Next(1, Count)) % Count;
        CutWhere(
            (from, to) => shape switch
            {
                0 => from == node && to == peer,
                1 => to == node,
                _ => from == node,
            },
            HoldUs(random));
    }

    private void CutWhere(Func<int, int, bool> isCut, long holdUs)
    {
        List<(int From, int To)> cuts = [];
        for (int from = 0; from < Count; from++)
        {
            for (int to = 0; to < Count; to++)
            {
                if (from != to && isCut(from, to))
                {
                    Network.Cut(from, to);
                    cuts.Add((from, to));
                }
            }
        }

        Later(holdUs, () => cuts.ForEach(cut => Network.Mend(cut.From, cut.To)));
    }

    /// <summary>A node comes and goes at about the pace of elections.</summary>
    private void Flap(int node, Random random)
    {
        int electionUs = ground.Replica.Raft.ElectionTicksMin * ground.Replica.TickMs * 1_000;
        long periodUs = (long)(electionUs * (0.5 + (1.5 * random.NextDouble())));
        int peer = random.Next(2) == 0 ? -1 : (node + random.Next(1, Count)) % Count;
        int rounds = random.Next(2, 12);
        for (int round = 0; round < rounds; round++)
        {
            Later(2 * round * periodUs, () => CutWhere((from, to) => (from == node && (peer < 0 || to == peer)) || (to == node && (peer < 0 || from == peer)), periodUs));
        }
    }

    private void Degrade(Random random)
    {
        Network.Loss = random.NextDouble() * 0.3;
        Network.Duplication = random.NextDouble() * 0.3;
        Network.MaxDelayUs = random.Next(1_000, 100_000);
        Later(random.Next(100_000, 4_000_000), Calm);
    }

    /// <summary>Not perfect, but good: what networks are between two faults.</summary>
    private void Calm()
    {
        Network.Loss = 0.01;
        Network.Duplication = 0.02;
        Network.Lateness = 0.05;
        Network.MaxLatenessUs = 8_000_000;
        Network.MaxDelayUs = 2_000;
    }

    private void Later(long us, Action then) => ground.Timeline.After(us, () =>
    {
        if (!_ended)
        {
            then();
        }
    });
}
