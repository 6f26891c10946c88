using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Rest;

/// <summary>Times to live, counters, sessions and bounded reads through the HTTP face.</summary>
[Collection(ClusterCollection.Name)]
public sealed class KeyOptionTests(RestNodes nodes) : IClassFixture<RestNodes>
{
    private const string Session = "KvStore-Session";
    private const string ExpiresIn = "KvStore-Expires-In-Ms";

    private readonly HttpClient _http = nodes.Http;

    [Fact]
    public async Task A_value_with_a_time_to_live_says_how_long_and_is_gone_afterwards()
    {
        (await SendAsync("PUT", "orders/keys/ttl/long?ttl_ms=600000", "v")).StatusCode.Should().Be(HttpStatusCode.NoContent);
        HttpResponseMessage read = await SendAsync("GET", "orders/keys/ttl/long");
        long.Parse(read.Headers.GetValues(ExpiresIn).Single(), CultureInfo.InvariantCulture).Should().BeInRange(1, 600_000);
        JsonElement item = (await _http.GetFromJsonAsync<JsonElement>("/v1/keyspaces/orders/keys?prefix=ttl/")).GetProperty("items")[0];
        item.GetProperty("expiresInMs").GetInt64().Should().BeInRange(1, 600_000);

        (await SendAsync("PUT", "orders/keys/ttl/long?ttl_ms=never", "v")).StatusCode.Should().Be(HttpStatusCode.NoContent);
        (await SendAsync("GET", "orders/keys/ttl/long")).Headers.Contains(ExpiresIn).Should().BeFalse();

        (await SendAsync("PUT", "orders/keys/ttl/short?ttl_ms=1", "v")).StatusCode.Should().Be(HttpStatusCode.NoContent);
        await nodes.UntilAsync(() => SendAsync("GET", "orders/keys/ttl/short"), answer => answer.StatusCode == HttpStatusCode.NotFound);
    }

    [Theory]
    [InlineData("orders")]
    [InlineData("carts")]
    public async Task A_counter_is_added_to_by_post_and_read_as_text(string keyspace)
    {
        string key = $"{keyspace}/keys/counted";
        HttpResponseMessage first = await SendAsync("POST", $"{key}?increment=5");
        first.StatusCode.Should().Be(HttpStatusCode.OK, await first.Content.ReadAsStringAsync());
        first.Content.Headers.ContentType!.MediaType.Should().Be("text/plain");
        first.Headers.GetValues("KvStore-Outcome").Should().Equal("done");
        (await first.Content.ReadAsStringAsync()).Should().Be("5");
        (await BodyOf("POST", $"{key}?increment=-7")).Should().Be("-2");
        (await BodyOf("GET", key)).Should().Be("-2");
        (await nodes.Cluster.Client.Keyspace(keyspace).GetAsync<long>("counted"))!.Value.Should().Be(-2);
    }

    [Fact]
    public async Task An_increment_under_one_request_id_counts_once_and_what_is_no_counter_is_refused()
    {
        (await BodyOf("POST", "orders/keys/once-counted?increment=3", ("KvStore-Request-Id", "c0-1"))).Should().Be("3");
        (await BodyOf("POST", "orders/keys/once-counted?increment=3&may_have_happened=true", ("KvStore-Request-Id", "c0-1"))).Should().Be("3");
        (await BodyOf("GET", "orders/keys/once-counted")).Should().Be("3");

        await SendAsync("PUT", "orders/keys/text", "no number");
        HttpResponseMessage refused = await SendAsync("POST", "orders/keys/text?increment=1");
        refused.StatusCode.Should().Be(HttpStatusCode.BadRequest);
        refused.Headers.GetValues("KvStore-Code").Should().Equal("wrong-type");

        await BodyOf("POST", "orders/keys/counted-for-a-while?increment=1&ttl_ms=600000");
        (await SendAsync("GET", "orders/keys/counted-for-a-while")).Headers.Contains(ExpiresIn).Should().BeTrue();
    }

    [Theory]
    [InlineData("orders")]
    [InlineData("carts")]
    public async Task A_session_that_moves_from_node_to_node_reads_what_it_wrote(string keyspace)
    {
        HttpClient[] each = [.. nodes.Cluster.Nodes.Select(node => new HttpClient { BaseAddress = node.HttpAddress })];
        string token = "new";
        for (int i = 1; i <= 30; i++)
        {
            HttpResponseMessage put = await SendAsync(each[i % 3], "PUT", $"{keyspace}/keys/moving-{i % 4}", $"{i}", (Session, token));
            put.StatusCode.Should().Be(HttpStatusCode.NoContent, await put.Content.ReadAsStringAsync());
            token = put.Headers.GetValues(Session).Single();
            HttpResponseMessage got = await SendAsync(each[(i + 1) % 3], "GET", $"{keyspace}/keys/moving-{i % 4}", null, (Session, token));
            (await got.Content.ReadAsStringAsync()).Should().Be($"{i}");
            token = got.Headers.GetValues(Session).Single();
        }

        token.Length.Should().BeLessThan(1_000);
        HttpResponseMessage page = await SendAsync(each[0], "GET", $"{keyspace}/keys?prefix=moving-", null, (Session, token));
        (await page.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("items").EnumerateArray()
            .Select(item => Encoding.UTF8.GetString(item.GetProperty("value").GetBytesFromBase64())).Should().Equal("28", "29", "30", "27");
        KvSession continued = nodes.Cluster.Client.CreateSession(page.Headers.GetValues(Session).Single());
        (await nodes.Cluster.Client.Keyspace(keyspace).GetAsync<string>("moving-2", new KvReadOptions { Session = continued }))!.Value.Should().Be("30", "the client speaks the same tokens");
        HttpResponseMessage absent = await SendAsync(each[1], "GET", $"{keyspace}/keys/never-put", null, (Session, token));
        absent.StatusCode.Should().Be(HttpStatusCode.NotFound);
        absent.Headers.Contains(Session).Should().BeTrue("that it was absent is something that was seen");
        (await SendAsync("GET", $"{keyspace}/keys/moving-1")).Headers.Contains(Session).Should().BeFalse("it was not asked for");
    }

    [Fact]
    public async Task A_session_is_refused_by_a_replica_that_is_behind_it_and_a_bounded_read_by_one_that_is_too_old()
    {
        using var alone = new HttpClient { BaseAddress = nodes.Cluster.Node(1).HttpAddress };
        string token = (await SendAsync("PUT", "carts/keys/behind", "1", (Session, "new"))).Headers.GetValues(Session).Single();
        await nodes.UntilAsync(() => SendAsync(alone, "GET", "carts/keys/behind?max_staleness_ms=600000", null), answer => answer.IsSuccessStatusCode);
        await nodes.Cluster.IsolateAsync(1);
        try
        {
            token = (await SendAsync("PUT", "carts/keys/behind", "2", (Session, token))).Headers.GetValues(Session).Single();
            HttpResponseMessage behind = await nodes.UntilAsync(() => SendAsync(alone, "GET", "carts/keys/behind", null, (Session, token)), answer => CodeOf(answer) == "session-behind");
            behind.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
            HttpResponseMessage old = await nodes.UntilAsync(() => SendAsync(alone, "GET", "carts/keys/behind?level=bounded&max_staleness_ms=200", null), answer => CodeOf(answer) == "too-stale");
            old.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
            (await SendAsync(alone, "GET", "carts/keys/behind?max_staleness_ms=600000", null)).StatusCode.Should().Be(HttpStatusCode.OK, "within ten minutes it is");
        }
        finally
        {
            await nodes.Cluster.HealAsync();
            await nodes.Cluster.WaitUntilWholeAsync();
        }

        HttpResponseMessage found = await nodes.UntilAsync(() => SendAsync(alone, "GET", "carts/keys/behind", null, (Session, token)), answer => answer.IsSuccessStatusCode);
        (await found.Content.ReadAsStringAsync()).Should().Be("2");
    }

    [Fact]
    public async Task A_transaction_in_a_session_is_seen_by_what_follows_in_it()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/keyspaces/orders/transactions")
        {
            Content = new StringContent("""{"then": [{"put": "{s}/a", "text": "1"}, {"put": "{s}/b", "text": "2"}]}""", Encoding.UTF8, "application/json"),
        };
        request.Headers.Add(Session, "new");
        string token = (await _http.SendAsync(request)).Headers.GetValues(Session).Single();
        foreach (var node in nodes.Cluster.Nodes)
        {
            using var http = new HttpClient { BaseAddress = node.HttpAddress };
            (await (await SendAsync(http, "GET", "orders/keys/%7Bs%7D/b", null, (Session, token))).Content.ReadAsStringAsync()).Should().Be("2");
        }
    }

    [Theory]
    [InlineData("PUT", "k?ttl_ms=0", null, "ttl_ms")]
    [InlineData("PUT", "k?ttl_ms=-5", null, "ttl_ms")]
    [InlineData("PUT", "k?ttl_ms=soon", null, "or never")]
    [InlineData("PUT", "k?ttl_ms=315360000001", null, "ttl_ms")]
    [InlineData("PUT", "k", "no token!", "begin a new session")]
    [InlineData("PUT", "k", "CQEAAAAAAAAA", "of another cluster")]
    [InlineData("GET", "k", "_____", "malformed")]
    [InlineData("GET", "k?level=session", null, "new to begin one")]
    [InlineData("GET", "k?level=bounded", null, "max_staleness_ms=N")]
    [InlineData("GET", "k?level=eventual&max_staleness_ms=5", null, "for level bounded")]
    [InlineData("GET", "k?max_staleness_ms=0", null, "from 1 to 600000")]
    [InlineData("GET", "k?max_staleness_ms=600001", null, "from 1 to 600000")]
    [InlineData("GET", "k?max_staleness_ms=99999999999999999999", null, "from 1 to 600000")]
    [InlineData("POST", "k", null, "?increment=1")]
    [InlineData("POST", "k?increment=", null, "whole number of 64 bits")]
    [InlineData("POST", "k?increment=1.5", null, "whole number of 64 bits")]
    [InlineData("POST", "k?increment=9223372036854775808", null, "whole number of 64 bits")]
    [InlineData("POST", "k?increment=1&may_have_happened=perhaps", null, "true or false")]
    [InlineData("POST", "k?increment=1&may_have_happened=true", null, "KvStore-Request-Id")]
    [InlineData("POST", "?increment=1", null, "key")]
    public async Task Options_that_will_not_do_are_refused_with_a_sentence(string method, string keyAndQuery, string? session, string because)
    {
        HttpResponseMessage refused = await SendAsync(method, $"orders/keys/{keyAndQuery}", method == "PUT" ? "v" : null, session is null ? [] : [(Session, session)]);
        string body = await refused.Content.ReadAsStringAsync();
        refused.StatusCode.Should().Be(HttpStatusCode.BadRequest, body);
        refused.Content.Headers.ContentType!.MediaType.Should().Be("application/problem+json");
        JsonElement problem = JsonDocument.Parse(body).RootElement;
        problem.GetProperty("detail").GetString().Should().Contain(because);
        (problem.GetProperty("code").GetString(), problem.GetProperty("outcome").GetString()).Should().Be(("invalid-argument", "not-done"));
    }

    [Fact]
    public async Task The_openapi_document_names_them_all()
    {
        JsonElement key = (await _http.GetFromJsonAsync<JsonElement>("/openapi/v1.json")).GetProperty("paths").GetProperty("/v1/keyspaces/{keyspace}/keys/{key}");
        IEnumerable<string?> NamesOf(string method) => key.GetProperty(method).GetProperty("parameters").EnumerateArray().Select(parameter => parameter.GetProperty("name").GetString());
        NamesOf("get").Should().Contain(["level", "max_staleness_ms", Session]);
        NamesOf("put").Should().Contain(["ttl_ms", "If-Match", "KvStore-Request-Id", Session]);
        NamesOf("post").Should().Contain(["increment", "ttl_ms", "may_have_happened", "KvStore-Request-Id", Session]).And.NotContain("If-Match");
        NamesOf("delete").Should().Contain(["If-Match", Session]).And.NotContain("ttl_ms");
    }

    private static string? CodeOf(HttpResponseMessage answer) => answer.Headers.TryGetValues("KvStore-Code", out IEnumerable<string>? codes) ? codes.Single() : null;

    private async Task<string> BodyOf(string method, string path, params (string Name, string Value)[] headers)
    {
        HttpResponseMessage answer = await SendAsync(method, path, null, headers);
        string body = await answer.Content.ReadAsStringAsync();
        answer.StatusCode.Should().Be(HttpStatusCode.OK, body);
        return body;
    }

    private Task<HttpResponseMessage> SendAsync(string method, string path, string? body = null, params (string Name, string Value)[] headers) => SendAsync(_http, method, path, body, headers);

    private static async Task<HttpResponseMessage> SendAsync(HttpClient http, string method, string path, string? body, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), $"/v1/keyspaces/{path}");
        if (body is not null)
        {
            request.Content = new StringContent(body);
        }

        foreach ((string name, string value) in headers)
        {
            request.Headers.Add(name, value);
        }

        return await http.SendAsync(request);
    }
}
