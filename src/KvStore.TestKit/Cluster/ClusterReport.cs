using System.Text;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.TestKit;

/// <summary>What a person wants to see when a test did not get what it waited for.</summary>
internal static class ClusterReport
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public static async Task<string> DescribeAsync(KvTestCluster cluster)
    {
        var text = new StringBuilder();
        foreach (KvTestNode node in cluster.Nodes)
        {
            if (!node.IsRunning)
            {
                text.Append("node ").Append(node.Id).AppendLine(": does not run");
                continue;
            }

            try
            {
                using var patience = new CancellationTokenSource(Patience);
                NodeStatusResponse status = await cluster.StatusAsync(node.Id, replicas: true, patience.Token);
                text.Append("node ").Append(node.Id).Append(": ").AppendLine(status.ToString());
            }
            catch (Exception silent) when (silent is KvException or OperationCanceledException)
            {
                text.Append("node ").Append(node.Id).Append(": ").AppendLine(silent.Message);
            }
        }

        if (File.Exists("/proc/stat"))
        {
            text.Append("machine: ").AppendLine(File.ReadLines("/proc/stat").First());
        }

        return text.ToString();
    }
}
