using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Planted;

/// <summary>Replicas of an open shard serve whoever comes.</summary>
internal sealed class SessionIgnored : PlantedBug
{
    public override string Name => "session-ignored";

    public override string StandsFor => "A replica that takes a session's token and does not look at it: a client that moves reads older than it wrote (scenario 58; causally consistent reads: mongodb SERVER-35316).";

    public override string ExpectedBy => "SessionGuarantees";

    public override ScenarioKind Kind => ScenarioKind.Ap;

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => drawn with { Sessions = 3 };

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (!operation.Session.IsEmpty)
        {
            operation.Session = SessionPosition.Empty.ToBytes();
        }
    }
}

/// <summary>Followers of an ordered shard serve session reads as they stand.</summary>
internal sealed class SessionIgnoredByFollowers : PlantedBug
{
    public override string Name => "session-ignored-by-followers";

    public override string StandsFor => "A follower that answers a session before it has applied what the session wrote at the leader (C19).";

    public override string ExpectedBy => "SessionGuarantees";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn) with { Sessions = 3, Nodes = Math.Max(3, drawn.Nodes) };

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (!operation.Session.IsEmpty && !Leads(node))
        {
            operation.Session = SessionPosition.Empty.ToBytes();
        }
    }
}

/// <summary>A place in the log counts as reached by its index, whatever the term of the entry there.</summary>
internal sealed class SessionTermIgnored : PlantedBug
{
    public override string Name => "session-term-ignored";

    public override string StandsFor => "A session token that holds an index without its term: what a failover has replaced passes for kept (C14).";

    public override string ExpectedBy => "SessionGuarantees";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyElections(drawn) with { Mode = drawn.Mode with { Replication = Replication.BestEffort }, Sessions = 4 };

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Session.IsEmpty)
        {
            return;
        }

        SessionPosition position = SessionPosition.Decode(operation.Session);
        ViewPosition stand = node.Replica!.Position;
        foreach (LogPlace place in position.Log)
        {
            if (place.Index <= stand.Applied || place.Term < stand.AppliedTerm)
            {
                operation.Session = SessionPosition.OfLog(position.Epoch, stand.AppliedTerm, stand.Applied).ToBytes();
            }
        }
    }
}
