using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.Node.Hosting;
using Xunit;

namespace KvStore.Cluster.Tests.Processes;

/// <summary>A node's data directory across processes: what was acknowledged survives kill -9, and what isn't right is refused in one sentence, with nothing changed.</summary>
public sealed class DataDirectoryTests : IDisposable
{
    private const string Keyspace = "orders";
    private const int Keys = 40;

    private readonly string _directory = Directory.CreateTempSubdirectory("kvstore-process-").FullName;
    private readonly int _port = NodeProcess.FreePort();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Every_acknowledged_sync_put_is_there_after_kill_9_again_and_again()
    {
        int written = 0;
        for (int round = 0; round < 3; round++)
        {
            using NodeProcess node = await RunAsync();
            await using KvClient client = KvClient.Create($"http://127.0.0.1:{_port}");
            if (round == 0)
            {
                await client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = Keyspace, Replication = Replication.Sync, Shards = 2, Replicas = 1 }, Cancellation);
            }

            await ExpectAsync(client, written);
            await PutAsync(client, written, Keys);
            written += Keys;

            node.Kill();
        }

        using NodeProcess last = await RunAsync();
        await using KvClient reader = KvClient.Create($"http://127.0.0.1:{_port}");
        await ExpectAsync(reader, written);
    }

    [Fact]
    public async Task The_directory_of_another_cluster_is_refused_and_left_alone()
    {
        await FillAsync();

        await RefusedAsync(NodeProcess.Flags(_directory, _port, cluster: "other"), ExitCodes.DataDirectory, $"The data directory {_directory} belongs to cluster 'test', not to 'other': *");
        await EverythingIsThereAsync();
    }

    [Fact]
    public async Task The_directory_of_another_node_is_refused_and_left_alone()
    {
        await FillAsync();

        await RefusedAsync(NodeProcess.Flags(_directory, _port, node: 2), ExitCodes.DataDirectory, $"The data directory {_directory} belongs to node *, not to *: *");
        await EverythingIsThereAsync();
    }

    [Fact]
    public async Task A_newer_format_is_refused_and_left_alone()
    {
        await FillAsync();
        string stamp = Path.Combine(_directory, "log", "node.stamp");
        byte[] ours = await File.ReadAllBytesAsync(stamp, Cancellation);
        byte[] newer = [.. ours];
        BinaryPrimitives.WriteInt32LittleEndian(newer.AsSpan(8), 3);
        await File.WriteAllBytesAsync(stamp, newer, Cancellation);

        await RefusedAsync(NodeProcess.Flags(_directory, _port), ExitCodes.DataDirectory, $"The data directory {_directory} has format version 3, and this program knows version 2: *");

        await File.WriteAllBytesAsync(stamp, ours, Cancellation);
        await EverythingIsThereAsync();
    }

    [Fact]
    public async Task A_flipped_byte_in_an_earlier_record_of_the_log_is_refused_and_left_alone()
    {
        await FillAsync();
        string segment = Directory.GetFiles(Path.Combine(_directory, "log"), "log-*.seg").Order(StringComparer.Ordinal).First();
        byte[] whole = await File.ReadAllBytesAsync(segment, Cancellation);
        byte[] damaged = [.. whole];
        damaged[PayloadOf(whole, "value 5")] ^= 0x10;
        await File.WriteAllBytesAsync(segment, damaged, Cancellation);

        await RefusedAsync(
            NodeProcess.Flags(_directory, _port), ExitCodes.DataDirectory, $"The log file {Path.GetFileName(segment)} is damaged at offset *: *; the node stays down rather than forget what it promised: *");

        await File.WriteAllBytesAsync(segment, whole, Cancellation);
        await EverythingIsThereAsync();
    }

    [Fact]
    public async Task A_directory_that_another_process_holds_is_refused_for_now()
    {
        using NodeProcess holder = await RunAsync();
        using NodeProcess second = NodeProcess.Start(NodeProcess.Flags(_directory, NodeProcess.FreePort()));

        (int code, string errors) = await second.EndAsync(Cancellation);

        (code, errors).Should().Be((ExitCodes.Temporary, $"The data directory {_directory} is in use by another process: stop that one first, or give this node a directory of its own."));
        holder.HasExited.Should().BeFalse();
    }

    /// <summary>Where the text stands in the file.</summary>
    private static int PayloadOf(byte[] file, string text)
    {
        int at = file.AsSpan().IndexOf(System.Text.Encoding.UTF8.GetBytes(text));
        at.Should().BePositive("the log holds what was put");
        return at;
    }

    private static async Task PutAsync(KvClient client, int from, int count)
    {
        IKvKeyspace orders = client.Keyspace(Keyspace);
        for (int i = from; i < from + count; i++)
        {
            await orders.PutAsync(KeyOf(i), ValueOf(i), cancellationToken: Cancellation);
        }
    }

    private static async Task ExpectAsync(KvClient client, int count)
    {
        IKvKeyspace orders = client.Keyspace(Keyspace);
        for (int i = 0; i < count; i++)
        {
            KvEntry<string>? entry = await orders.GetAsync<string>(KeyOf(i), cancellationToken: Cancellation);
            entry?.Value.Should().Be(ValueOf(i));
            entry.Should().NotBeNull($"{KeyOf(i)} was acknowledged");
        }
    }

    private static string KeyOf(int i) => string.Create(CultureInfo.InvariantCulture, $"key {i}");

    private static string ValueOf(int i) => string.Create(CultureInfo.InvariantCulture, $"value {i}");

    private async Task<NodeProcess> RunAsync()
    {
        NodeProcess node = NodeProcess.Start(NodeProcess.Flags(_directory, _port));
        await node.ReadyAsync(Cancellation);
        return node;
    }

    /// <summary>A directory with some data, of a node that was killed: all of it is in the log.</summary>
    private async Task FillAsync()
    {
        using NodeProcess node = await RunAsync();
        await using KvClient client = KvClient.Create($"http://127.0.0.1:{_port}");
        await client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = Keyspace, Replication = Replication.Sync, Shards = 1, Replicas = 1 }, Cancellation);
        await PutAsync(client, 0, Keys);
        node.Kill();
    }

    /// <summary>A start with these flags ends with this code and one sentence, and no file is another than before.</summary>
    private async Task RefusedAsync(string[] flags, int code, string sentence)
    {
        Dictionary<string, string> before = Files();
        using NodeProcess node = NodeProcess.Start(flags);

        (int ended, string errors) = await node.EndAsync(Cancellation);

        ended.Should().Be(code, errors);
        errors.Should().Match(sentence).And.NotContain("\n");
        Files().Should().BeEquivalentTo(before);
    }

    private async Task EverythingIsThereAsync()
    {
        using NodeProcess node = await RunAsync();
        await using KvClient client = KvClient.Create($"http://127.0.0.1:{_port}");
        await ExpectAsync(client, Keys);
    }

    /// <summary>Names and digests of all files.</summary>
    private Dictionary<string, string> Files() => Directory.GetFiles(_directory, "*", SearchOption.AllDirectories)
        .ToDictionary(file => file, file => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file))));
}
