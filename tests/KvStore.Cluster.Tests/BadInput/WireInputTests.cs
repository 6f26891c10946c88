using System.Text;
using FluentAssertions;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.BadInput;

/// <summary>Unary calls as a foreign program makes them with generated code, all of them wrong. Each is refused with the documented status and a sentence, and the node goes on.</summary>
[Collection(ClusterCollection.Name)]
public sealed class WireInputTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private const string Keyspace = "wire";

    private static readonly ByteString Key = ByteString.CopyFromUtf8("k");
    private static readonly ByteString Garbage = ByteString.CopyFrom([0xff, 0xff, 0xff, 0xff, 0x00, 0x13]);

    public static TheoryData<string> Reads { get; } = [.. BadReads.Keys];

    public static TheoryData<string> Writes { get; } = [.. BadWrites.Keys];

    private static Dictionary<string, (Action<GetRequest> Spoil, StatusCode Status)> BadReads => new()
    {
        ["no keyspace"] = (get => get.Keyspace = "", StatusCode.NotFound),
        ["unknown keyspace"] = (get => get.Keyspace = "nowhere", StatusCode.NotFound),
        ["the system's keyspace"] = (get => get.Keyspace = "_system", StatusCode.NotFound),
        ["a keyspace's name of 1 MiB"] = (get => get.Keyspace = new string('x', 1_048_576), StatusCode.NotFound),
        ["empty key"] = (get => get.Key = ByteString.Empty, StatusCode.InvalidArgument),
        ["huge key"] = (get => get.Key = Of(KvLimits.MaxKeyBytes + 1), StatusCode.ResourceExhausted),
        ["unknown level"] = (get => get.Level = (ReadLevel)99, StatusCode.InvalidArgument),
        ["negative level"] = (get => get.Level = (ReadLevel)(-1), StatusCode.InvalidArgument),
        ["level of the other policy"] = (get => get.Level = ReadLevel.Quorum, StatusCode.FailedPrecondition),
        ["bounded without a bound"] = (get => get.Level = ReadLevel.Bounded, StatusCode.InvalidArgument),
        ["bounded by more than ten minutes"] = (get => (get.Level, get.MaxStalenessMs) = (ReadLevel.Bounded, KvLimits.MaxStalenessMs + 1), StatusCode.InvalidArgument),
        ["a session token that is none"] = (get => get.Session = Garbage, StatusCode.InvalidArgument),
        ["a session token of another cluster"] = (get => get.Session = new SessionToken { Cluster = 1 }.ToByteString(), StatusCode.InvalidArgument),
        ["a huge session token"] = (get => get.Session = Of(KvLimits.MaxSessionTokenBytes + 1), StatusCode.InvalidArgument),
    };

    private static Dictionary<string, (Action<PutRequest> Spoil, StatusCode Status)> BadWrites => new()
    {
        ["empty key"] = (put => put.Key = ByteString.Empty, StatusCode.InvalidArgument),
        ["huge value"] = (put => put.Value = Of(KvLimits.MaxValueBytes + 1), StatusCode.ResourceExhausted),
        ["a message over 4 MiB"] = (put => put.Value = Of(KvLimits.MaxMessageBytes + 1), StatusCode.ResourceExhausted),
        ["unknown condition"] = (put => put.Condition = (WriteCondition)42, StatusCode.InvalidArgument),
        ["condition of the other policy"] = (put => put.Condition = WriteCondition.InContext, StatusCode.FailedPrecondition),
        ["a version that is none"] = (put => (put.Condition, put.Version) = (WriteCondition.IfVersion, Garbage), StatusCode.InvalidArgument),
        ["a huge version"] = (put => (put.Condition, put.Version) = (WriteCondition.IfVersion, Of(KvLimits.MaxVersionBytes + 1)), StatusCode.ResourceExhausted),
        ["a time to live beyond ten years"] = (put => put.TtlMs = KvLimits.MaxTtlMs + 1, StatusCode.InvalidArgument),
        ["a request id without a sequence"] = (put => put.Request = new RequestId { Session = 7 }, StatusCode.InvalidArgument),
        ["a request id below its own floor"] = (put => put.Request = new RequestId { Session = 7, Sequence = 3, AcknowledgedFloor = 3 }, StatusCode.InvalidArgument),
    };

    public async ValueTask InitializeAsync()
    {
        await nodes.HealAsync();
        await nodes.Cluster.CreateKeyspaceAsync(Keyspace, PartitionPolicy.Cp, Replication.Sync);
    }

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [MemberData(nameof(Reads))]
    public async Task A_read_that_is_wrong_is_refused_with_its_status_and_a_sentence(string mistake)
    {
        (Action<GetRequest> spoil, StatusCode status) = BadReads[mistake];
        var request = new GetRequest { Keyspace = Keyspace, Key = Key };
        spoil(request);
        await RefusedAsync(kv => kv.GetAsync(request, deadline: Deadline).ResponseAsync, status);
    }

    [Theory]
    [MemberData(nameof(Writes))]
    public async Task A_write_that_is_wrong_is_refused_with_its_status_and_a_sentence(string mistake)
    {
        (Action<PutRequest> spoil, StatusCode status) = BadWrites[mistake];
        var request = new PutRequest { Keyspace = Keyspace, Key = Key, Value = ByteString.CopyFromUtf8("v") };
        spoil(request);
        await RefusedAsync(kv => kv.PutAsync(request, deadline: Deadline).ResponseAsync, status);
    }

    [Fact]
    public async Task Increments_scans_and_transactions_that_are_wrong_are_refused_too()
    {
        await RefusedAsync(kv => kv.IncrementAsync(new IncrementRequest { Keyspace = Keyspace, Delta = 1 }, deadline: Deadline).ResponseAsync, StatusCode.InvalidArgument);
        await RefusedAsync(kv => kv.ScanAsync(new ScanRequest { Keyspace = "nowhere" }, deadline: Deadline).ResponseAsync, StatusCode.NotFound);
        await RefusedAsync(kv => kv.ScanAsync(new ScanRequest { Keyspace = Keyspace, After = Of(KvLimits.MaxKeyBytes + 1) }, deadline: Deadline).ResponseAsync, StatusCode.ResourceExhausted);
        await RefusedAsync(kv => kv.ScanAsync(new ScanRequest { Keyspace = Keyspace, Level = ReadLevel.Bounded }, deadline: Deadline).ResponseAsync, StatusCode.InvalidArgument);
        await RefusedAsync(kv => kv.TransactAsync(new TransactRequest { Keyspace = Keyspace }, deadline: Deadline).ResponseAsync, StatusCode.InvalidArgument);
        var unknown = new Transaction { Then = { new TransactionOperation { Kind = (OperationKind)77, Key = Key } } };
        await RefusedAsync(kv => kv.TransactAsync(new TransactRequest { Keyspace = Keyspace, Transaction = unknown }, deadline: Deadline).ResponseAsync, StatusCode.InvalidArgument);
    }

    [Fact]
    public async Task A_call_that_is_cancelled_or_out_of_time_ends_as_that_and_the_node_serves_on()
    {
        using GrpcChannel channel = Channel();
        var kv = new Kv.KvClient(channel);
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        StatusOf(await Failure(() => kv.GetAsync(new GetRequest { Keyspace = Keyspace, Key = Key }, cancellationToken: cancelled.Token).ResponseAsync)).Should().Be(StatusCode.Cancelled);
        StatusOf(await Failure(() => kv.GetAsync(new GetRequest { Keyspace = Keyspace, Key = Key }, deadline: DateTime.UtcNow.AddSeconds(-1)).ResponseAsync)).Should().Be(StatusCode.DeadlineExceeded);
        (await kv.GetAsync(new GetRequest { Keyspace = Keyspace, Key = Key }, deadline: Deadline)).Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public async Task A_stream_for_another_cluster_is_refused_before_any_operation_is_read()
    {
        using GrpcChannel channel = Channel();
        var batch = new OperationBatch { Operations = { new Operation { CallId = 1, Kind = OperationKind.Put, KeyspaceId = 1, Key = Key, Value = Key } } };
        using AsyncDuplexStreamingCall<OperationBatch, ResultBatch> call = new KvPipeline.KvPipelineClient(channel).Run(new Metadata { { PipelineMethods.ClusterHeader, "0000000000000001" } }, Deadline);
        RpcException refused = await Failure(async () =>
        {
            await call.RequestStream.WriteAsync(batch);
            await call.ResponseStream.MoveNext(CancellationToken.None);
        });
        refused.StatusCode.Should().Be(StatusCode.FailedPrecondition, refused.Status.Detail);
        refused.Status.Detail.Should().Contain("belongs to cluster");
        (await new Kv.KvClient(channel).GetAsync(new GetRequest { Keyspace = Keyspace, Key = Key }, deadline: Deadline)).Found.Should().BeFalse();
    }

    private static DateTime Deadline => DateTime.UtcNow.AddSeconds(20);

    private static ByteString Of(int length) => ByteString.CopyFrom(Encoding.ASCII.GetBytes(new string('x', length)));

    private static StatusCode StatusOf(RpcException failure) => failure.StatusCode;

    private static async Task<RpcException> Failure(Func<Task> call) => (await call.Should().ThrowAsync<RpcException>()).Which;

    private async Task RefusedAsync<T>(Func<Kv.KvClient, Task<T>> call, StatusCode status)
    {
        using GrpcChannel channel = Channel();
        RpcException refused = await Failure(() => call(new Kv.KvClient(channel)));
        output.WriteLine($"{refused.StatusCode}: {refused.Status.Detail}");
        refused.StatusCode.Should().Be(status, refused.Status.Detail);
        refused.Status.Detail.Length.Should().BeInRange(20, 400, "it is a sentence, which does not repeat what was sent");
        (await new Kv.KvClient(channel).ScanAsync(new ScanRequest { Keyspace = Keyspace }, deadline: Deadline)).Items.Should().BeEmpty("nothing was kept of it, and the node serves on");
    }

    private GrpcChannel Channel() => GrpcChannel.ForAddress(nodes.Cluster.Endpoints.First(), new GrpcChannelOptions { MaxSendMessageSize = null });
}
