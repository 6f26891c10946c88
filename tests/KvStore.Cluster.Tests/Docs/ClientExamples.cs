using System.Text.Json.Serialization;
using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace KvStore.Cluster.Tests.Docs;

/// <summary>The examples of docs/client.md and of the README, against a real cluster. Who changes one changes the page too.</summary>
[Collection(ClusterCollection.Name)]
public sealed class ClientExamples(ThreeNodes nodes) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Fact]
    public async Task Connect_create_a_keyspace_put_and_get()
    {
        string endpoint = _cluster.Endpoints.First();

        await using IKvClient client = KvClient.Create(endpoint);
        await client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = "orders", Policy = PartitionPolicy.Cp, Replication = Replication.Sync });

        IKvKeyspace orders = client.Keyspace("orders");
        await orders.PutAsync("order/17", "paid");
        KvEntry<string>? order = await orders.GetAsync<string>("order/17");

        order!.Value.Should().Be("paid");
        (await orders.GetAsync<string>("order/18")).Should().BeNull();
    }

    [Fact]
    public async Task A_host_registers_one_client()
    {
        var services = new ServiceCollection();
        services.AddKvStore(options =>
        {
            options.Endpoints.Add(_cluster.Endpoints.First());
            options.DefaultTimeout = TimeSpan.FromSeconds(5);
        });

        await using ServiceProvider provider = services.BuildServiceProvider();
        IKvClient client = provider.GetRequiredService<IKvClient>();

        (await client.GetTopologyAsync()).Members.Should().HaveCount(3);
    }

    [Fact]
    public async Task Watch_a_prefix_and_go_on_from_a_token()
    {
        IKvKeyspace orders = await OrderedAsync("watched");
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        CancellationToken stop = limit.Token;
        var shown = new Dictionary<string, string>();
        bool reread = false;
        string? saved = null;
        await foreach (KvChange<string> begun in orders.WatchAsync<string>(KvRange.Prefix("order/"), new KvWatchOptions { TellProgress = true }, stop))
        {
            saved = begun.Token;
            if (saved is not null)
            {
                break;
            }
        }

        await orders.PutAsync("order/1", "open");
        await orders.PutAsync("order/2", "open");
        await orders.DeleteAsync("order/1");
        await foreach (KvChange<string> change in orders.WatchAsync<string>(KvRange.Prefix("order/"), new KvWatchOptions { FromToken = saved }, stop))
        {
            switch (change.Kind)
            {
                case KvChangeKind.Put:
                    shown[change.Key.ToString()] = change.Value!;
                    break;
                case KvChangeKind.Deleted or KvChangeKind.Expired:
                    shown.Remove(change.Key.ToString());
                    break;
                case KvChangeKind.Gap:
                    reread = true;
                    break;
            }

            saved = change.Token ?? saved;
            if (shown.Count == 1 && shown.ContainsKey("order/2"))
            {
                break;
            }
        }

        reread.Should().BeFalse();
    }

    [Fact]
    public async Task Add_to_a_number_with_compare_and_set()
    {
        IKvKeyspace accounts = await OrderedAsync("accounts");
        KvWriteResult written;
        do
        {
            KvEntry<long>? balance = await accounts.GetAsync<long>("alice");
            written = await accounts.TryPutAsync("alice", (balance?.Value ?? 0) + 10, balance?.Version ?? KvVersion.Absent);
        }
        while (written.Outcome == KvOutcome.NotDone);

        written.Outcome.Should().Be(KvOutcome.Done);
        (await accounts.GetAsync<long>("alice"))!.Value.Should().Be(10);
    }

    [Fact]
    public async Task Scan_a_prefix_and_delete()
    {
        IKvKeyspace orders = await OrderedAsync("scanned");
        await orders.PutAsync("order/1", "paid");
        await orders.PutAsync("order/2", "open");
        await orders.PutAsync("user/1", "alice");

        List<string> found = [];
        await foreach (KvEntry<string> entry in orders.ScanAsync<string>(KvRange.Prefix("order/")))
        {
            found.Add($"{entry.Key}={entry.Value}");
        }

        await orders.DeleteAsync("user/1");

        found.Should().Equal("order/1=paid", "order/2=open");
        (await orders.GetAsync<string>("user/1")).Should().BeNull();
    }

    [Fact]
    public async Task Choose_a_read_level()
    {
        IKvKeyspace orders = await OrderedAsync("levels");
        await orders.PutAsync("order/17", "paid");

        KvEntry<string>? fresh = await orders.GetAsync<string>("order/17", new KvReadOptions { Level = KvReadLevel.Linearizable });
        KvEntry<string>? maybeOld = await orders.GetAsync<string>("order/17", new KvReadOptions { Level = KvReadLevel.Eventual });

        fresh!.Staleness.Should().Be(TimeSpan.Zero);
        maybeOld?.Regime.Should().Be(KvRegime.Ordered);
    }

    [Fact]
    public async Task Read_your_own_writes_in_another_process()
    {
        string name = nodes.NewName("sessions");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Async);
        IKvClient client = _cluster.Client;
        IKvKeyspace carts = client.Keyspace(name);

        KvSession session = client.CreateSession();
        await carts.PutAsync("cart/7", "tea", new KvWriteOptions { Session = session });
        string token = session.Token; // into a cookie, a header, a message

        await using IKvClient elsewhere = KvClient.Create(_cluster.Endpoints.Last());
        KvSession continued = elsewhere.CreateSession(token);
        KvEntry<string>? cart = await elsewhere.Keyspace(name).GetAsync<string>("cart/7", new KvReadOptions { Session = continued });

        cart!.Value.Should().Be("tea");
    }

    [Fact]
    public async Task Read_what_is_at_most_two_seconds_old()
    {
        IKvKeyspace orders = await OrderedAsync("bounded");
        await orders.PutAsync("order/17", "paid");

        KvEntry<string>? order = await orders.GetAsync<string>("order/17", new KvReadOptions { MaxStaleness = TimeSpan.FromSeconds(2) });

        order?.Staleness.Should().BeLessThanOrEqualTo(TimeSpan.FromSeconds(2));
    }

    [Fact]
    public async Task Resolve_siblings_in_the_context_of_what_was_read()
    {
        string name = nodes.NewName("carts");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Async);
        IKvKeyspace carts = _cluster.Client.Keyspace(name);

        // Two people write to two sides of a broken network.
        await _cluster.IsolateAsync(1);
        await _cluster.ClientOf(1).PutAsync(name, "cart", "tea");
        await _cluster.ClientOf(2).PutAsync(name, "cart", "milk");
        await _cluster.HealAsync();
        await _cluster.WaitUntilConvergedAsync(name);

        KvEntry<string>? cart = await carts.GetAsync<string>("cart");
        if (cart is { SiblingCount: > 1 })
        {
            string merged = string.Join(',', cart.Siblings.Select(sibling => sibling.Value).Order());
            await carts.PutInContextAsync("cart", merged, cart.Version);
        }

        KvEntry<string>? resolved = await carts.GetAsync<string>("cart");
        resolved!.SiblingCount.Should().Be(1);
        resolved.Value.Should().Be("milk,tea");
    }

    [Fact]
    public async Task Resolve_with_a_function_and_list_conflicts()
    {
        string name = nodes.NewName("carts");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Sync);
        IKvClient client = _cluster.Client;
        await client.Keyspace(name).PutAsync("cart", "tea");
        await client.Keyspace(name).PutInContextAsync("cart", "milk", KvVersion.Absent);

        IKvKeyspace carts = client.Keyspace(name, new KvKeyspaceOptions
        {
            Resolver = KvResolver.Of<string>((key, siblings) => string.Join(',', siblings.SelectMany(sibling => sibling.Value.Split(',')).Distinct().Order())),
            WriteBackResolved = true,
        });

        List<string> lines = [];
        await foreach (KvConflict conflict in carts.ConflictsAsync(KvRange.All))
        {
            lines.Add($"{conflict.Key}: {conflict.SiblingCount} values");
        }

        KvEntry<string>? cart = await carts.GetAsync<string>("cart");
        (cart!.Value, cart.Resolved).Should().Be(("milk,tea", true));
        lines.Should().Equal("cart: 2 values");
        (await client.Keyspace(name).GetAsync<string>("cart"))!.SiblingCount.Should().Be(1);
    }

    [Fact]
    public async Task Tell_the_three_outcomes_apart()
    {
        IKvKeyspace orders = await OrderedAsync("outcomes");
        await _cluster.PartitionAsync([1], [2], [3]);

        string outcome;
        try
        {
            await orders.PutAsync("order/17", "paid", new KvWriteOptions { Timeout = TimeSpan.FromSeconds(5) });
            outcome = "done";
        }
        catch (KvException failure) when (failure.OutcomeUnknown)
        {
            outcome = "unknown"; // read the key before deciding anything
        }
        catch (KvException)
        {
            outcome = "not done"; // it had no effect and never will
        }

        outcome.Should().NotBe("done", "no side has a majority");
        await _cluster.HealAsync();
        await orders.PutAsync("order/17", "paid", new KvWriteOptions { RetryNoQuorumUntilDeadline = true });
    }

    [Fact]
    public async Task Move_money_in_one_transaction()
    {
        IKvKeyspace accounts = await OrderedAsync("bank");
        await accounts.PutAsync("{bank}/alice", 100L);
        await accounts.PutAsync("{bank}/bob", 50L);

        KvEntry<long> alice = (await accounts.GetAsync<long>("{bank}/alice"))!, bob = (await accounts.GetAsync<long>("{bank}/bob"))!;
        KvTxnResult moved = await accounts.TransactAsync(new KvTxn()
            .IfVersion("{bank}/alice", alice.Version)
            .IfVersion("{bank}/bob", bob.Version)
            .Then(then => then.Put("{bank}/alice", alice.Value - 10).Put("{bank}/bob", bob.Value + 10))
            .Else(other => other.Get("{bank}/alice").Get("{bank}/bob")));
        long left = moved.Succeeded ? alice.Value - 10 : moved.Get<long>("{bank}/alice")!.Value;

        left.Should().Be(90);
        (await accounts.GetAsync<long>("{bank}/bob"))!.Value.Should().Be(60);
    }

    [Fact]
    public async Task Count()
    {
        IKvKeyspace hits = await OrderedAsync("hits");

        long visits = await hits.IncrementAsync("visits");
        long stock = await hits.IncrementAsync("stock", by: -3);
        KvEntry<long>? seen = await hits.GetAsync<long>("visits");

        (visits, stock, seen!.Value).Should().Be((1, -3, 1));
    }

    [Fact]
    public async Task Let_a_value_expire()
    {
        IKvKeyspace web = await OrderedAsync("web");

        await web.PutAsync("session/17", "alice", new KvWriteOptions { Ttl = TimeSpan.FromMinutes(30) });
        KvEntry<string>? session = await web.GetAsync<string>("session/17");
        await web.PutAsync("session/17", "alice");
        long calls = await web.IncrementAsync("calls/alice", options: new KvWriteOptions { Ttl = TimeSpan.FromMinutes(1) });

        session!.ExpiresIn.Should().BeLessThanOrEqualTo(TimeSpan.FromMinutes(30)).And.BeGreaterThan(TimeSpan.FromMinutes(20));
        (await web.GetAsync<string>("session/17"))!.ExpiresIn.Should().BeNull();
        calls.Should().Be(1);
    }

    [Fact]
    public async Task Store_a_type_of_your_own()
    {
        var options = new KvClientOptions { Serializer = new KvSerializer().Add(ShopJson.Default.Order) };
        options.Endpoints.Add(_cluster.Endpoints.First());
        string name = nodes.NewName("typed");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync);

        await using IKvClient client = KvClient.Create(options);
        await client.Keyspace(name).PutAsync("order/17", new Order("alice", 3));
        KvEntry<Order>? order = await client.Keyspace(name).GetAsync<Order>("order/17");

        order!.Value.Should().Be(new Order("alice", 3));
    }

    [Fact]
    public async Task My_app_survives_the_loss_of_a_node()
    {
        await using KvTestCluster cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { Nodes = 3, InMemory = true });
        await cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync);
        IKvKeyspace orders = cluster.Client.Keyspace("orders");

        await orders.PutAsync("order/17", "paid");
        await cluster.IsolateAsync(1);

        (await orders.GetAsync<string>("order/17"))!.Value.Should().Be("paid");
        await orders.PutAsync("order/18", "open");
        await cluster.HealAsync();
    }

    private async Task<IKvKeyspace> OrderedAsync(string prefix)
    {
        string name = nodes.NewName(prefix);
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync);
        return _cluster.Client.Keyspace(name);
    }
}

public sealed record Order(string Customer, int Items);

[JsonSerializable(typeof(Order))]
internal sealed partial class ShopJson : JsonSerializerContext;
