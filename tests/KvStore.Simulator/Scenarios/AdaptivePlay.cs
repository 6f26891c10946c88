using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// An adaptive shard: clients work on all sides while faults strike. Then every overlay must be merged, replicas must agree, every provisional write that was acknowledged must be accounted for and its
/// value have been there, and what the log answered must be linearizable, with each merge as one more write.
/// </summary>
internal static class AdaptivePlay
{
    private const long ReadUs = 5_000_000;

    /// <summary>From the settings of an ordered run: partitions are worth more here the longer they last, so provisional service begins early.</summary>
    public static ScenarioSettings Adapt(ScenarioSettings drawn, Random random) => drawn with
    {
        Mode = new KeyspaceMode(PartitionChoice.Adaptive, random.Next(10) < 7 ? Replication.Sync : Replication.Async),
        ProvisionalAfter = new ProvisionalAfter(random.Next(2) == 0 ? 1_000 : 2_000),
        Nodes = Math.Max(3, drawn.Nodes),
        OperationsPerClient = Math.Min(drawn.OperationsPerClient, 60),
        MaxThinkUs = Math.Max(300_000, drawn.MaxThinkUs),
        FaultEveryMs = drawn.FaultEveryMs == 0 ? 0 : Math.Max(1_200, drawn.FaultEveryMs),
        Replica = drawn.Replica with
        {
            OverlayBytes = random.Next(4) == 0 ? 3_000 : 1 << 20,
            HandInTicks = random.Next(2) == 0 ? 4 : 40,
        },
    };

    public static void Play(SimulationStage stage, IEnumerable<Strike> plan)
    {
        OverlayWatch overlays = stage.Cluster.Watch.Overlays;
        overlays.OnMerged = (key, values) => stage.Recorder.Begin("merge", RecordedKind.Put, key, values).Done();
        var context = new ClientContext(stage.Cluster, stage.Recorder, new AnswerWatch(stage.Cluster.Watch) { AcknowledgesEarly = true });
        List<AdaptiveClient> clients = [];
        for (int i = 0; i < stage.Settings.Clients; i++)
        {
            clients.Add(new AdaptiveClient(context, i, stage.Seeds.Next(), stage.Settings.OperationsPerClient));
        }

        clients.ForEach(client => client.Begin());
        stage.Faults.Begin(plan);
        stage.Timeline.RunUntil(() => clients.TrueForAll(client => client.HasFinished), stage.Settings.WorkUs);
        context.Stopping = true;
        stage.Faults.HealAll();
        stage.Demand("after the heal, every pending operation ends", () => clients.TrueForAll(client => client.IsIdle), 60_000_000);
        stage.Demand("after the heal, every replica is ordered again and every overlay merged", () => stage.Cluster.Nodes.TrueForAll(IsMerged), 60_000_000);
        context.Loss = 0;
        var last = new AdaptiveClient(context, clients.Count, stage.Seeds.Next(), 0);
        for (int key = 0; key < stage.Settings.Keys; key++)
        {
            int wanted = key;
            last.PutNow(wanted);
            stage.Demand($"after the heal, a new write of k{key} is done", () => IsDoneOrAskedAgain(last, wanted), 15_000_000);
            last.GetNow(key);
            stage.Demand($"after the heal, a new read of k{key} is done", () => last.IsIdle && last.LastWasDone, 15_000_000);
        }

        stage.Demand("after the heal, all replicas apply the same", () => HaveAppliedTheSame(stage.Cluster), 20_000_000);
        long[] episodes = [.. stage.Cluster.Nodes.Select(EpisodesOf)];
        stage.Timeline.RunFor(5_000_000);
        stage.Require(stage.Cluster.Nodes.Select(EpisodesOf).SequenceEqual(episodes), "in a healed cluster nobody begins to serve provisionally");
        EqualViews.Check(stage.Cluster, stage.Cluster.Usable);
        overlays.CheckEnd(ReadAccounted(stage));
        for (int i = 0; i < overlays.Acknowledged; i++)
        {
            stage.Trace.Count("provisional write acknowledged");
        }

        for (int i = 0; i < overlays.Merges; i++)
        {
            stage.Trace.Count("merge that changed a key");
        }

        CheckHistory(stage);
    }

    private static bool IsMerged(SimulatedNode node) => node.Replica is { IsActive: true } replica && replica.Describe() is { OverlayKeys: 0, Regime: Regime.Ordered };

    private static long EpisodesOf(SimulatedNode node) => node.Replica!.Describe().ProvisionalEpisodes;

    private static bool HaveAppliedTheSame(SimulatedCluster cluster) => cluster.Nodes.TrueForAll(node => node.Replica?.Position.Applied == cluster.Nodes[0].Replica?.Position.Applied);

    private static bool IsDoneOrAskedAgain(AdaptiveClient client, int key)
    {
        if (client.IsIdle && !client.LastWasDone)
        {
            client.PutNow(key);
        }

        return client.IsIdle && client.LastWasDone;
    }

    private static ShardClock ReadAccounted(SimulationStage stage)
    {
        ShardClock? accounted = null;
        stage.Cluster.Nodes[0].Dump(records =>
        {
            accounted = new ShardClock();
            foreach (ScannedRecord record in records.Where(record => record.Space == RecordSpace.Meta && record.Key.Span.SequenceEqual("accounted"u8)))
            {
                BinaryCursor input = new(record.Record);
                accounted = ShardClock.Decode(ref input);
            }
        });
        stage.Demand("the dots that the log accounts for can be read", () => accounted is not null, ReadUs);
        return accounted!;
    }

    /// <summary>Sync: linearizable. A search that would take for ever decides nothing. Async may lose acknowledged writes in a failover, so its history is not judged.</summary>
    private static void CheckHistory(SimulationStage stage)
    {
        if (stage.Settings.Mode.Replication != Replication.Sync)
        {
            return;
        }

        History history = stage.Recorder.ToHistory();
        LinearizabilityResult result = LinearizabilityChecker.Check(history, new LinearizabilityOptions { MaxConfigurations = 500_000 });
        stage.Trace.Count($"history {result.Verdict}");
        if (result.Verdict == LinearizabilityVerdict.NotLinearizable)
        {
            throw new SimulationFailedException("Linearizability", $"{result}{Environment.NewLine}{string.Join(Environment.NewLine, history.Operations.Where(operation => operation.Key == result.Key))}");
        }
    }
}
