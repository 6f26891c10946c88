using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Rest;

/// <summary>Requests over HTTP that are cancelled in the middle, by an end of their connection or a reset, and requests that run out of time: nothing half kept, nothing logged as an error, and the node serves on.</summary>
[Collection(ClusterCollection.Name)]
public sealed class CallersThatLeaveTests(ITestOutputHelper output) : IAsyncLifetime
{
    /// <summary>Of each message between the nodes. Whoever leaves has left long before anything can be answered; and it is far below an election timeout.</summary>
    private const uint DelayMs = 300;

    private readonly ConcurrentQueue<string> _log = new();
    private KvTestCluster _cluster = null!;
    private HttpClient _http = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private IKvKeyspace Orders => _cluster.Client.Keyspace("orders");

    public async ValueTask InitializeAsync()
    {
        _cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { InMemory = true, Http = true, Log = _log.Enqueue }, Cancellation);
        await _cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync, shards: 1, Cancellation);
        _http = new HttpClient { BaseAddress = _cluster.Node(await _cluster.LeaderOfAsync("orders", cancellationToken: Cancellation)).HttpAddress };
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _cluster.DisposeAsync();
        if (TestContext.Current.TestState?.Result == TestResult.Failed)
        {
            output.WriteLine(string.Join('\n', _log));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_caller_that_goes_away_before_the_end_of_its_value_leaves_nothing_behind(bool byReset)
    {
        await LeaveAsync("PUT /v1/keyspaces/orders/keys/half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly the beginning", byReset);
        await LeaveAsync("PUT /v1/keyspaces/orders/keys/half HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n12\r\nonly the beginning\r\n", byReset);
        await LeaveAsync("POST /v1/keyspaces/orders/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"then\": [{\"put\": \"half\"", byReset);
        await LeaveAsync("PUT /v1/keyspaces/half HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"policy\": \"cp\"", byReset);
        await ServesOnAsync();
        (await _http.GetAsync("/v1/keyspaces/orders/keys/half", Cancellation)).StatusCode.Should().Be(HttpStatusCode.NotFound);
        (await _http.GetAsync("/v1/keyspaces/half", Cancellation)).StatusCode.Should().Be(HttpStatusCode.NotFound);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_caller_that_goes_away_while_it_is_waited_for_a_majority_harms_nobody(bool byReset)
    {
        await DelayAsync();
        string[] requests =
        [
            "PUT /v1/keyspaces/orders/keys/left HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nwhole",
            "POST /v1/keyspaces/orders/keys/count?increment=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "DELETE /v1/keyspaces/orders/keys/never HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /v1/keyspaces/orders/keys/left HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /v1/keyspaces/orders/keys?limit=10 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /v1/keyspaces/orders/watch?prefix= HTTP/1.1\r\nHost: x\r\n\r\n",
        ];
        foreach (string request in requests)
        {
            await LeaveAsync(request, byReset);
        }

        await _cluster.HealAsync();
        await ServesOnAsync();

        // Whoever has left was told nothing: it is there as a whole, or not at all.
        (await Orders.GetAsync<string>("left", cancellationToken: Cancellation))?.Value.Should().Be("whole");
        (await Orders.GetAsync<long>("count", cancellationToken: Cancellation))?.Value.Should().Be(1);
    }

    [Fact]
    public async Task A_call_that_runs_out_of_time_says_so_and_what_is_unknown()
    {
        await DelayAsync();
        foreach ((HttpMethod method, string path, bool writes) in ((HttpMethod, string, bool)[])
                 [
                     (HttpMethod.Put, "/v1/keyspaces/orders/keys/late?timeout_ms=20", true),
                     (HttpMethod.Delete, "/v1/keyspaces/orders/keys/gone?timeout_ms=20", true),
                     (HttpMethod.Post, "/v1/keyspaces/orders/keys/n?increment=1&timeout_ms=20", true),
                     (HttpMethod.Get, "/v1/keyspaces/orders/keys/late?level=linearizable&timeout_ms=20", false),
                 ])
        {
            using var request = new HttpRequestMessage(method, path) { Content = method == HttpMethod.Put ? new StringContent("v") : null };
            HttpResponseMessage answer = await _http.SendAsync(request, Cancellation);
            string body = await answer.Content.ReadAsStringAsync(Cancellation);
            output.WriteLine($"{method} {path}: {(int)answer.StatusCode} {body}");
            answer.StatusCode.Should().Be(HttpStatusCode.GatewayTimeout, body);
            answer.Headers.GetValues("KvStore-Code").Should().Equal("deadline-exceeded");
            answer.Headers.GetValues("KvStore-Outcome").Should().Equal(writes ? "unknown" : "not-done");
            if (writes)
            {
                body.Should().Contain("The outcome is unknown: it may have happened.");
            }
        }

        await _cluster.HealAsync();
        await ServesOnAsync();
    }

    /// <summary>Sends a request, or its beginning, and is gone.</summary>
    private async Task LeaveAsync(string request, bool byReset)
    {
        using var caller = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await caller.ConnectAsync(IPAddress.Loopback, _http.BaseAddress!.Port, Cancellation);
        await caller.SendAsync(Encoding.ASCII.GetBytes(request), Cancellation);
        if (byReset)
        {
            caller.LingerState = new LingerOption(true, 0);
        }
    }

    private async Task DelayAsync()
    {
        foreach (KvTestNode node in _cluster.Nodes)
        {
            await _cluster.Client.Admin.SetFaultsAsync(node.Id, _cluster.Nodes.Where(peer => peer.Id != node.Id).Select(peer => new LinkFault { Peer = peer.Id, DelayMs = DelayMs }), Cancellation);
        }
    }

    private async Task ServesOnAsync()
    {
        HttpResponseMessage put = await _http.PutAsync("/v1/keyspaces/orders/keys/after", new StringContent("served"), Cancellation);
        put.StatusCode.Should().Be(HttpStatusCode.NoContent, await put.Content.ReadAsStringAsync(Cancellation));
        (await _http.GetStringAsync("/v1/keyspaces/orders/keys/after", Cancellation)).Should().Be("served");
        _log.Where(line => line.Contains(" Error: ", StringComparison.Ordinal) || line.Contains(" Critical: ", StringComparison.Ordinal)).Should().BeEmpty();
    }
}
