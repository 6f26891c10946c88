using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Faults;

/// <summary>
/// Disks that are slow, fail, fill up, and lose or change what they hold. Damage of what was durable is for a minority only, for that is all that any protocol can stand; a node that finds such
/// damage must stay down.
/// </summary>
internal sealed class DiskFaults(SimulatedCluster cluster, ProcessFaults processes)
{
    // By node: whether its damage stays when all else heals.
    private readonly SortedDictionary<int, bool> _damaged = [];

    public bool Wiped { get; private set; }

    /// <summary>Whether nobody repairs this node in the end.</summary>
    public bool StaysDown(SimulatedNode node) => _damaged.GetValueOrDefault(node.Index);

    public void Strike(FaultKind kind, SimulatedNode victim, Random dice)
    {
        switch (kind)
        {
            case FaultKind.LogBitFlip or FaultKind.ViewDamage or FaultKind.LogFileMissing:
                Damage(kind, victim, dice);
                return;
            case FaultKind.LostDisk:
                Replace(kind, victim, () => victim.Disk.Wipe());
                return;
            case FaultKind.OldBackup:
                GoBack(victim, dice);
                return;
        }

        cluster.Trace.Fault(kind.ToString(), victim.Index);
        switch (kind)
        {
            case FaultKind.DiskStall:
                victim.Disk.Stall(dice.Next(10_000, 4_000_000));
                break;
            case FaultKind.SlowSyncs:
                victim.Disk.Slow(dice.Next(3) == 0 ? 2_000_000 : dice.Next(5_000, 200_000));
                cluster.Timeline.After(dice.Next(500_000, 8_000_000), () => victim.Disk.Slow(0));
                break;
            case FaultKind.SyncError:
                victim.Disk.FailSync();
                break;
            case FaultKind.WriteError:
                victim.Disk.FailWrite();
                break;
            case FaultKind.DiskNearlyFull:
                victim.Disk.FillNearly();
                cluster.Timeline.After(dice.Next(500_000, 6_000_000), victim.Disk.MakeRoom);
                break;
            default:
                victim.Disk.Fill(dice.Next(2) == 0 ? 0 : dice.Next(100_000));
                cluster.Timeline.After(dice.Next(500_000, 6_000_000), victim.Disk.MakeRoom);
                break;
        }
    }

    /// <summary>
    /// The process dies, something is wrong with its disk, and it starts again. It dies without its power, because of a batch that nothing follows a bad record can as well be a torn write, and the
    /// mark that tells one from the other is not synced.
    /// </summary>
    private void Damage(FaultKind kind, SimulatedNode victim, Random dice)
    {
        bool mayDamage = _damaged.ContainsKey(victim.Index) || _damaged.Count < (cluster.Nodes.Count - 1) / 2;
        if (!victim.IsUp || !mayDamage)
        {
            return;
        }

        processes.Kill(victim, power: false);
        bool happened = kind switch
        {
            FaultKind.LogBitFlip => victim.Disk.FlipLogBit(dice),
            FaultKind.ViewDamage => victim.Disk.DamageView(dice),
            _ => victim.Disk.LoseSegment(dice),
        };
        if (happened)
        {
            _damaged[victim.Index] = dice.Next(2) == 0;
            cluster.Trace.Fault(kind.ToString(), victim.Index);
        }
    }

    private void GoBack(SimulatedNode victim, Random dice)
    {
        if (victim.Disk.IsDamaged)
        {
            // A backup of what is damaged is no backup: the node would rightly refuse to start from it.
            return;
        }

        victim.Disk.TakeBackup();
        cluster.Timeline.After(dice.Next(100_000, 5_000_000), () => Replace(FaultKind.OldBackup, victim, () => victim.Disk.RestoreBackup()));
    }

    private void Replace(FaultKind kind, SimulatedNode victim, Action replace)
    {
        if (victim.IsUp && !Wiped)
        {
            cluster.Trace.Fault(kind.ToString(), victim.Index);
            Wiped = true;
            processes.Kill(victim, power: true);
            replace();
        }
    }
}
