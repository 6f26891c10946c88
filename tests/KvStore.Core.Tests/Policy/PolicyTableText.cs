using System.Text;
using KvStore.Core.Policy;

namespace KvStore.Core.Tests.Policy;

/// <summary>The whole table of <see cref="PartitionPolicy"/>, asked cell by cell, as docs/consistency.md shows it.</summary>
internal static class PolicyTableText
{
    private static readonly (string Name, PartitionChoice Partition, ServingRegime Regime, bool Majority)[] Columns =
    [
        ("ordered, majority", PartitionChoice.Cp, ServingRegime.Ordered, true),
        ("ordered, minority", PartitionChoice.Cp, ServingRegime.Ordered, false),
        ("open, majority", PartitionChoice.Ap, ServingRegime.Open, true),
        ("open, minority", PartitionChoice.Ap, ServingRegime.Open, false),
        ("closing", PartitionChoice.Cp, ServingRegime.Closing, true),
        ("adaptive, provisional", PartitionChoice.Adaptive, ServingRegime.Provisional, false),
    ];

    private static readonly (string Name, RequestClass Request)[] Rows =
    [
        ("read without a level", RequestClass.DefaultRead),
        ("linearizable read", RequestClass.LinearizableRead),
        ("stale (eventual) read", RequestClass.StaleRead),
        ("quorum read", RequestClass.QuorumRead),
        ("write", RequestClass.Write),
        ("write that demands strong", RequestClass.StrongWrite),
        ("conditional write", RequestClass.ConditionalWrite),
        ("write in context", RequestClass.ContextWrite),
        ("transaction", RequestClass.Transaction),
    ];

    public static string Render()
    {
        var text = new StringBuilder();
        text.Append("| |").AppendJoin('|', Columns.Select(column => $" {column.Name} ")).Append("|\n");
        text.Append("|---|").AppendJoin('|', Columns.Select(_ => "---")).Append("|\n");
        foreach ((string name, RequestClass request) in Rows)
        {
            text.Append("| ").Append(name).Append(" |").AppendJoin('|', Columns.Select(column => $" {Cell(column.Partition, column.Regime, column.Majority, request)} ")).Append("|\n");
        }

        return text.ToString();
    }

    /// <summary>What all replications agree on; where sync alone is served with less, the cell says so.</summary>
    private static string Cell(PartitionChoice partition, ServingRegime regime, bool majority, RequestClass request)
    {
        PolicyDecision Ask(Replication replication) => PartitionPolicy.Decide(new KeyspaceMode(partition, replication), regime, majority, request);
        string sync = Word(Ask(Replication.Sync));
        string others = Word(Ask(Replication.Async));
        return others != Word(Ask(Replication.BestEffort)) ? "no word for this" : sync == others ? sync : $"{others} ({sync} when sync)";
    }

    private static string Word(PolicyDecision decision) => decision switch
    {
        PolicyDecision.Serve => "serve",
        PolicyDecision.ServeDegraded => "degraded",
        PolicyDecision.ServeProvisionally => "serve provisionally",
        PolicyDecision.RefuseNoQuorum => "refuse",
        PolicyDecision.RefuseNotOffered => "not offered",
        PolicyDecision.RefuseSwitching => "refuse, retryable",
        PolicyDecision.RefuseProvisional => "refuse",
        _ => "no word for this",
    };
}
