using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Scenarios;

/// <summary>What a client may rely on when it repeats itself, and when it is refused.</summary>
public static class NamedClients
{
    public static void RetryAtANewLeader(ulong seed)
    {
        var run = new NamedRun(seed);
        for (int i = 0; i < 6; i++)
        {
            // The client does not hear the answer, because its leader is gone right after it; it asks the next one with the same request id.
            SimulatedNode old = run.Leader();
            ClientOperation put = run.Put(NamedRun.OwnKey, $"v{i}");
            Completion? first = run.Ask(old, put);
            old.Crash(power: true);
            Completion second = Repeat(run, put, run.Others(old));
            run.Stage.Require(first is not { Outcome: Outcome.Done } || first.Value.OrderedVersion == second.OrderedVersion, "the retry is answered with the first version");
            run.PutDone(NamedRun.OwnKey, $"w{i}", run.Others(old));
            Completion third = Repeat(run, put, run.Others(old));
            run.Stage.Require(third.OrderedVersion == second.OrderedVersion, "a later retry is answered with the first version");
            run.MustRead(NamedRun.OwnKey, $"w{i}", run.Others(old));
            run.Restart(old);
            run.For(1_000);
        }

        run.Judge();
    }

    public static void RetryAfterASnapshot(ulong seed)
    {
        var run = new NamedRun(seed, settings: calm => calm with { Replica = calm.Replica with { KeepEntries = 2, CompactStep = 1 } });
        SimulatedNode leader = run.Leader();
        SimulatedNode away = run.Others(leader)[0];
        away.Crash(power: false);
        ClientOperation put = run.Put(NamedRun.OwnKey, "once");
        Completion first = Repeat(run, put, leader);
        run.PutDone(NamedRun.OwnKey, "later", leader);
        run.For(3_000);
        run.Restart(away);
        run.Stage.Demand("the node gets a snapshot", () => run.Stage.Trace.Counts.ContainsKey("snapshot installed"), 10_000_000);
        run.For(2_000);

        // Who has learned of the request by snapshot only must know it when it leads.
        SimulatedNode third = run.Others(leader, away)[0];
        run.CutOff(leader);
        third.Pause(400_000);
        Completion second = Repeat(run, put, away, third);
        run.Stage.Require(second.OrderedVersion == first.OrderedVersion, "the retry is answered with the first version");
        run.MustRead(NamedRun.OwnKey, "later", away, third);
        run.Judge();
    }

    public static void SameIdOtherPayload(ulong seed)
    {
        var run = new NamedRun(seed);
        ClientOperation put = run.Put(NamedRun.OwnKey, "one");
        Repeat(run, put);
        ClientOperation other = run.Put(NamedRun.OwnKey, "two");
        other.Request = put.Request;
        Completion? answer = run.Ask(run.Leader(), other);
        run.Stage.Require(answer is { Outcome: Outcome.NotDone, Code: RefusalCode.RequestReused }, $"the reuse is refused, and not {answer?.Outcome} {answer?.Code}");
        run.MustRead(NamedRun.OwnKey, "one");
        run.Judge();
    }

    public static void DefiniteFailures(ulong seed)
    {
        var run = new NamedRun(seed, nodes: 5);
        for (int i = 0; i < 6; i++)
        {
            SimulatedNode old = run.Leader();
            run.PutDone(NamedRun.OwnKey, $"kept{i}");
            run.CutOff(old, run.Others(old)[0]);
            List<string> refused = [];
            for (int write = 0; write < 10; write++)
            {
                string value = $"lost{i}x{write}";
                run.Begin(old, run.Put(NamedRun.OwnKey, value), 2_000, answer =>
                {
                    if (answer.Outcome == Outcome.NotDone)
                    {
                        refused.Add(value);
                    }
                });
                run.For(150);
            }

            run.Network.Heal();
            run.For(1_500);
            Completion? read = run.Ask(run.Leader(), run.Get(NamedRun.OwnKey));
            string? seen = read is { Found: true } found ? Clients.ClientKeys.TextOf(found.Value) : null;
            run.Stage.Require(seen is null || !refused.Contains(seen), $"'{seen}', which was refused, is not visible");
        }

        run.Judge();
    }

    private static Completion Repeat(NamedRun run, ClientOperation operation, params SimulatedNode[] among)
    {
        for (int attempt = 0; ; attempt++)
        {
            if (run.Ask(run.Leader(among), operation) is { Outcome: Outcome.Done } answer)
            {
                return answer;
            }

            run.Stage.Require(attempt < 20, "the write can be repeated until it is done");
            run.For(100);
        }
    }
}
