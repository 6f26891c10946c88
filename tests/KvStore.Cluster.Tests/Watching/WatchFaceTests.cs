using System.Net;
using System.Text.Json;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Cluster.Tests.Cli;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Cluster.Tests.Rest;
using Xunit;

namespace KvStore.Cluster.Tests.Watching;

/// <summary>Watches over HTTP, as server-sent events.</summary>
[Collection(ClusterCollection.Name)]
public sealed class RestWatchTests(RestNodes nodes) : IClassFixture<RestNodes>
{
    [Fact]
    public async Task Changes_come_as_events_and_the_last_id_resumes_at_another_node()
    {
        using var at1 = new HttpClient { BaseAddress = nodes.Cluster.Node(1).HttpAddress };
        string id;
        using (var events = await SseReader.OpenAsync(nodes.Http, "/v1/keyspaces/orders/watch?prefix=sse%2F"))
        {
            // All shards have said where they begin when an id is there.
            while ((await events.NextAsync()).Id is null)
            {
            }

            (await nodes.Http.PutAsync("/v1/keyspaces/orders/keys/sse/1", new StringContent("one"))).StatusCode.Should().Be(HttpStatusCode.NoContent);
            SseEvent put = await events.NextAsync("put");
            using JsonDocument data = JsonDocument.Parse(put.Data);
            data.RootElement.GetProperty("key").GetString().Should().Be("sse/1");
            data.RootElement.GetProperty("value").GetBytesFromBase64().Should().Equal("one"u8.ToArray());
            data.RootElement.GetProperty("regime").GetString().Should().Be("ordered");
            id = put.Id!;
        }

        (await nodes.Http.PutAsync("/v1/keyspaces/orders/keys/sse/2", new StringContent("two"))).StatusCode.Should().Be(HttpStatusCode.NoContent);
        (await nodes.Http.DeleteAsync("/v1/keyspaces/orders/keys/sse/1")).StatusCode.Should().Be(HttpStatusCode.NoContent);
        using SseReader resumed = await SseReader.OpenAsync(at1, "/v1/keyspaces/orders/watch?prefix=sse%2F", id);
        string[] told = [await TellAsync(resumed), await TellAsync(resumed)];
        told.Should().BeEquivalentTo("put sse/2", "deleted sse/1");
    }

    [Fact]
    public async Task Initial_values_come_first_and_then_it_says_so()
    {
        (await nodes.Http.PutAsync("/v1/keyspaces/carts/keys/cart%00", new StringContent("x"))).StatusCode.Should().Be(HttpStatusCode.BadRequest, "the server can't carry NUL");
        (await nodes.Http.PutAsync("/v1/keyspaces/carts/keys/cart", new StringContent("x"))).StatusCode.Should().Be(HttpStatusCode.NoContent);
        using SseReader events = await SseReader.OpenAsync(nodes.Http, "/v1/keyspaces/carts/watch?key=cart&initial=true");
        (await events.NextAsync("current")).Data.Should().Contain("\"cart\"");
        (await events.NextAsync("caught-up")).Id.Should().NotBeNull();
    }

    [Theory]
    [InlineData("/v1/keyspaces/orders/watch", 400)]
    [InlineData("/v1/keyspaces/orders/watch?key=a&prefix=a", 400)]
    [InlineData("/v1/keyspaces/orders/watch?prefix=&from=%21", 400)]
    [InlineData("/v1/keyspaces/orders/watch?prefix=&from=AAAA", 400)]
    [InlineData("/v1/keyspaces/orders/watch?prefix=&initial=perhaps", 400)]
    [InlineData("/v1/keyspaces/nowhere/watch?prefix=", 404)]
    public async Task What_makes_no_sense_is_a_problem_document(string target, int status)
    {
        using HttpResponseMessage answer = await nodes.Http.GetAsync(target);
        ((int)answer.StatusCode, answer.Content.Headers.ContentType!.MediaType).Should().Be((status, "application/problem+json"));
    }

    private static async Task<string> TellAsync(SseReader events)
    {
        SseEvent told = await events.NextAsync("put", "deleted");
        using JsonDocument data = JsonDocument.Parse(told.Data);
        return $"{told.Name} {data.RootElement.GetProperty("key").GetString()}";
    }
}

/// <summary>Watches on the command line.</summary>
[Collection(ClusterCollection.Name)]
public sealed class WatchCommandTests(QuickNodes nodes) : IClassFixture<QuickNodes>
{
    [Fact]
    public async Task A_watch_shows_changes_and_says_where_to_go_on()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        await nodes.MustKvAsync("put", "-k", name, "a", "1");
        KvRun initial = await nodes.MustKvAsync("watch", "-k", name, "--all", "--initial", "--limit", "2");
        initial.Out.Should().Contain("current   a  1").And.Contain("caught-up");
        string token = initial.Error.Trim().Split(' ')[^1];

        await nodes.MustKvAsync("put", "-k", name, "a", "2");
        await nodes.MustKvAsync("del", "-k", name, "a");
        KvRun json = await nodes.MustKvAsync("watch", "-k", name, "--all", "--from-token", token, "--limit", "2", "-o", "json");
        JsonElement[] changes = [.. json.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
        changes.Select(change => change.GetProperty("kind").GetString()).Should().Equal("put", "deleted");
        changes[0].GetProperty("value").GetString().Should().Be("2");
        changes[1].GetProperty("token").GetString().Should().NotBeNullOrEmpty();
        KvRun raw = await nodes.MustKvAsync("watch", "-k", name, "a", "--from-token", token, "--limit", "1", "-o", "raw");
        raw.Out.Trim().Should().Be("put\ta\t2");
    }

    [Fact]
    public async Task What_makes_no_sense_is_said()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        (await nodes.KvAsync("watch", "-k", name)).Code.Should().Be(ExitCode.Usage);
        (await nodes.KvAsync("watch", "-k", name, "a", "--all")).Code.Should().Be(ExitCode.Usage);
        (await nodes.KvAsync("watch", "-k", name, "--prefix", "a", "--all")).Code.Should().Be(ExitCode.Usage);
        (await nodes.KvAsync("watch", "-k", name, "--all", "--from-token", "!")).Code.Should().Be(ExitCode.Usage);
        (await nodes.KvAsync("watch", "-k", "nowhere", "--all")).Code.Should().Be(ExitCode.Refused);
    }
}
