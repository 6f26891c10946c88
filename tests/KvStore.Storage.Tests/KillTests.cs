using System.Diagnostics;
using System.Globalization;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;

namespace KvStore.Storage.Tests;

/// <summary>Scenario 14 and 21, below the replica: a real process on a real directory, killed with SIGKILL at a random moment, several times in a row.</summary>
public sealed class KillTests(ITestOutputHelper output)
{
    private const int Rounds = 6;

    [Fact]
    public void Whatever_was_acknowledged_before_a_kill_is_there_after_it()
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var directory = Directory.CreateTempSubdirectory("kvstore-kill-").FullName;
        try
        {
            for (var round = 0; round < Rounds; round++)
            {
                var acknowledged = RunAndKill(directory, random);
                output.WriteLine($"round {round}: acknowledged {acknowledged.First} {acknowledged.Second}");
                Verify(directory, new ShardId(1, 0), acknowledged.First);
                Verify(directory, new ShardId(1, 1), acknowledged.Second);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static (ulong First, ulong Second) RunAndKill(string directory, Random random)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(typeof(KillTests).Assembly.Location);
        }

        start.ArgumentList.Add(KilledWriter.Argument);
        start.ArgumentList.Add(directory);
        start.ArgumentList.Add(random.Next().ToString(CultureInfo.InvariantCulture));
        using var process = Process.Start(start)!;
        var lines = random.Next(20, 300);
        (ulong, ulong) last = default;
        while (process.StandardOutput.ReadLine() is { } line)
        {
            if (--lines == 0)
            {
                process.Kill();
            }

            var parts = line.Split(' ');
            if (parts.Length == 2 && ulong.TryParse(parts[0], out var first) && ulong.TryParse(parts[1], out var second))
            {
                last = (first, second);
            }
        }

        process.WaitForExit();
        return last;
    }

    private static void Verify(string directory, ShardId shard, ulong acknowledged)
    {
        var node = NodeStorage.Open(KilledWriter.Options(directory));
        try
        {
            node.WasCleanShutdown.Should().BeFalse();
            var replica = node.CreateLoop(new RecordingSink()).OpenReplica(shard, out var recovered);
            var state = new Dictionary<string, ulong>();
            var applied = recovered.Position.Applied.Value;
            for (var key = 0ul; key < KilledWriter.Keys; key++)
            {
                if (replica.Find(RecordSpace.Data, StorageBench.Bytes(KilledWriter.KeyOf(key)), out var record) == RecordLookup.Found)
                {
                    state[KilledWriter.KeyOf(key)] = ulong.Parse(System.Text.Encoding.UTF8.GetString(record.Span), CultureInfo.InvariantCulture);
                }
            }

            state.Should().BeEquivalentTo(StateAt(applied), "the view stands exactly at its position");
            foreach (var record in recovered.Records)
            {
                record.Payload.ToArray().Should().Equal(KilledWriter.PayloadOf(record.Index.Value));
            }

            var indexes = recovered.Records.Select(record => record.Index.Value).ToList();
            indexes.Should().BeInAscendingOrder().And.OnlyHaveUniqueItems();
            Math.Max(applied, indexes.LastOrDefault()).Should().BeGreaterThanOrEqualTo(acknowledged);
            indexes.Where(index => index > applied).Should().HaveCount((int)(Math.Max(applied, indexes.LastOrDefault()) - applied), "no gap behind the view");
        }
        finally
        {
            node.Abandon();
        }
    }

    private static Dictionary<string, ulong> StateAt(ulong applied)
    {
        var state = new Dictionary<string, ulong>();
        for (var index = applied; index > 0 && index + KilledWriter.Keys > applied; index--)
        {
            state[KilledWriter.KeyOf(index)] = index;
        }

        return state;
    }
}
