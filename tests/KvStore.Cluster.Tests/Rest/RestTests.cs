using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Rest;

/// <summary>The HTTP face of real nodes, as curl meets it.</summary>
[Collection(ClusterCollection.Name)]
public sealed class RestTests(RestNodes nodes) : IClassFixture<RestNodes>
{
    private static readonly byte[] Binary = [0, 1, 255, 254, (byte)'\n', 0];

    private readonly HttpClient _http = nodes.Http;

    [Fact]
    public async Task A_value_is_put_read_compared_and_deleted_by_its_bytes_and_etag()
    {
        HttpResponseMessage put = await _http.PutAsync("/v1/keyspaces/orders/keys/raw", new ByteArrayContent(Binary));
        put.StatusCode.Should().Be(HttpStatusCode.NoContent);
        put.Headers.GetValues("KvStore-Outcome").Should().Equal("done");
        put.Headers.GetValues("KvStore-Regime").Should().Equal("ordered");

        HttpResponseMessage get = await _http.GetAsync("/v1/keyspaces/orders/keys/raw");
        (await get.Content.ReadAsByteArrayAsync()).Should().Equal(Binary);
        get.Headers.ETag.Should().Be(put.Headers.ETag);
        get.Headers.GetValues("KvStore-Staleness-Ms").Should().Equal("0");

        (await SendAsync(HttpMethod.Get, "/v1/keyspaces/orders/keys/raw", with => with.IfNoneMatch.Add(get.Headers.ETag!))).StatusCode.Should().Be(HttpStatusCode.NotModified);
        HttpResponseMessage second = await SendAsync(HttpMethod.Put, "/v1/keyspaces/orders/keys/raw", with => with.IfMatch.Add(get.Headers.ETag!), "2");
        second.StatusCode.Should().Be(HttpStatusCode.NoContent);
        HttpResponseMessage stale = await SendAsync(HttpMethod.Put, "/v1/keyspaces/orders/keys/raw", with => with.IfMatch.Add(get.Headers.ETag!), "3");
        stale.StatusCode.Should().Be(HttpStatusCode.PreconditionFailed);
        stale.Headers.GetValues("KvStore-Outcome").Should().Equal("not-done");
        stale.Headers.ETag.Should().Be(second.Headers.ETag, "a failed comparison tells the current version");
        (await SendAsync(HttpMethod.Put, "/v1/keyspaces/orders/keys/raw", with => with.IfNoneMatch.Add(EntityTagHeaderValue.Any), "4")).StatusCode.Should().Be(HttpStatusCode.PreconditionFailed);

        (await _http.DeleteAsync("/v1/keyspaces/orders/keys/raw")).StatusCode.Should().Be(HttpStatusCode.NoContent);
        HttpResponseMessage gone = await _http.GetAsync("/v1/keyspaces/orders/keys/raw");
        gone.StatusCode.Should().Be(HttpStatusCode.NotFound);
        (await ProblemOf(gone)).GetProperty("title").GetString().Should().Be("Key not found");
    }

    [Theory]
    [InlineData("a%2Fb", "a/b")]
    [InlineData("a/b/c", "a/b/c")]
    [InlineData("100%25", "100%")]
    [InlineData("caf%C3%A9", "café")]
    [InlineData("with%20space", "with space")]
    public async Task A_key_is_what_its_percent_encoding_says(string path, string key)
    {
        (await _http.PutAsync($"/v1/keyspaces/orders/keys/{path}", new StringContent("v"))).StatusCode.Should().Be(HttpStatusCode.NoContent);
        KvEntry<string>? entry = await nodes.Cluster.Client.Keyspace("orders").GetAsync<string>(key);
        entry!.Value.Should().Be("v");
    }

    [Fact]
    public async Task A_key_of_bytes_that_are_no_text_comes_back_in_a_scan_as_it_was_given()
    {
        (await _http.PutAsync("/v1/keyspaces/orders/keys/bin/%FF%01%2F", new StringContent("v"))).StatusCode.Should().Be(HttpStatusCode.NoContent);
        JsonElement page = await _http.GetFromJsonAsync<JsonElement>("/v1/keyspaces/orders/keys?prefix=bin/");
        JsonElement item = page.GetProperty("items").EnumerateArray().Single();
        item.GetProperty("key").GetString().Should().Be("bin/%FF%01/");
        item.GetProperty("value").GetBytesFromBase64().Should().Equal("v"u8.ToArray());

        // A NUL byte can't stand in a URL.
        (await _http.PutAsync("/v1/keyspaces/orders/keys/AAE?encoding=base64url", new StringContent("zero"))).StatusCode.Should().Be(HttpStatusCode.NoContent);
        (await nodes.Cluster.Client.Keyspace("orders").GetAsync<string>(new byte[] { 0, 1 }))!.Value.Should().Be("zero");
    }

    [Fact]
    public async Task A_scan_goes_page_by_page_through_all_shards_in_key_order()
    {
        for (int i = 0; i < 25; i++)
        {
            await _http.PutAsync($"/v1/keyspaces/orders/keys/page/{i:D2}", new StringContent($"{i}"));
        }

        List<string> keys = [];
        string? next = "";
        while (next is not null)
        {
            JsonElement page = await _http.GetFromJsonAsync<JsonElement>($"/v1/keyspaces/orders/keys?prefix=page/&limit=10&after={next}");
            keys.AddRange(page.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("key").GetString()!));
            next = page.GetProperty("next").GetString();
        }

        keys.Should().Equal(Enumerable.Range(0, 25).Select(i => $"page/{i:D2}"));
    }

    [Fact]
    public async Task The_same_request_id_sent_twice_has_one_effect()
    {
        HttpResponseMessage first = await SendAsync(HttpMethod.Put, "/v1/keyspaces/orders/keys/once", with => with.Add("KvStore-Request-Id", "ab12-1"), "1");
        await _http.PutAsync("/v1/keyspaces/orders/keys/once", new StringContent("2"));
        HttpResponseMessage again = await SendAsync(HttpMethod.Put, "/v1/keyspaces/orders/keys/once", with => with.Add("KvStore-Request-Id", "ab12-1"), "1");
        again.StatusCode.Should().Be(HttpStatusCode.NoContent);
        again.Headers.ETag.Should().Be(first.Headers.ETag);
        (await _http.GetStringAsync("/v1/keyspaces/orders/keys/once")).Should().Be("2");

        HttpResponseMessage reused = await SendAsync(HttpMethod.Put, "/v1/keyspaces/orders/keys/once", with => with.Add("KvStore-Request-Id", "ab12-1"), "other");
        reused.StatusCode.Should().Be(HttpStatusCode.BadRequest);
        reused.Headers.GetValues("KvStore-Code").Should().Equal("request-reused");
    }

    [Fact]
    public async Task A_keyspace_is_created_once_and_described()
    {
        HttpContent settings = new StringContent("""{"policy": "ap", "replication": "async", "shards": 2}""", Encoding.UTF8, "application/json");
        HttpResponseMessage created = await _http.PutAsync("/v1/keyspaces/rest-made", settings);
        created.StatusCode.Should().Be(HttpStatusCode.OK, await created.Content.ReadAsStringAsync());
        JsonElement described = await _http.GetFromJsonAsync<JsonElement>("/v1/keyspaces/rest-made");
        described.GetProperty("policy").GetString().Should().Be("ap");
        described.GetProperty("shards").GetInt32().Should().Be(2);
        JsonElement cluster = await _http.GetFromJsonAsync<JsonElement>("/v1/cluster");
        cluster.GetProperty("keyspaces").EnumerateArray().Select(keyspace => keyspace.GetProperty("name").GetString()).Should().Contain("rest-made");

        HttpResponseMessage other = await _http.PutAsync("/v1/keyspaces/rest-made", new StringContent("""{"policy": "cp", "replication": "sync"}""", Encoding.UTF8, "application/json"));
        other.StatusCode.Should().Be(HttpStatusCode.Conflict);
    }

    [Fact]
    public async Task A_keyspace_is_deleted_by_its_id_and_repeating_that_is_harmless()
    {
        HttpContent Settings() => new StringContent("""{"policy": "cp", "replication": "sync", "shards": 1}""", Encoding.UTF8, "application/json");
        (await _http.PutAsync("/v1/keyspaces/rest-gone", Settings())).StatusCode.Should().Be(HttpStatusCode.OK);
        uint id = (await _http.GetFromJsonAsync<JsonElement>("/v1/keyspaces/rest-gone")).GetProperty("id").GetUInt32();
        (await _http.DeleteAsync($"/v1/keyspaces/rest-gone?id={id + 1_000}")).StatusCode.Should().Be(HttpStatusCode.Conflict);
        (await _http.DeleteAsync($"/v1/keyspaces/rest-gone?id={id}")).StatusCode.Should().Be(HttpStatusCode.NoContent);
        (await _http.GetAsync("/v1/keyspaces/rest-gone")).StatusCode.Should().Be(HttpStatusCode.NotFound);
        (await _http.PutAsync("/v1/keyspaces/rest-gone", Settings())).StatusCode.Should().Be(HttpStatusCode.OK);
        (await _http.DeleteAsync($"/v1/keyspaces/rest-gone?id={id}")).StatusCode.Should().Be(HttpStatusCode.NoContent, "that one is gone");
        (await _http.GetAsync("/v1/keyspaces/rest-gone")).StatusCode.Should().Be(HttpStatusCode.OK, "and the new one was not meant");
    }

    [Theory]
    [InlineData("DELETE", "/v1/keyspaces/orders", null, 400, "invalid-argument")]
    [InlineData("DELETE", "/v1/keyspaces/orders?id=0", null, 400, "invalid-argument")]
    [InlineData("DELETE", "/v1/keyspaces/orders?id=-1", null, 400, "invalid-argument")]
    [InlineData("DELETE", "/v1/keyspaces/orders?id=1&id=2", null, 400, "invalid-argument")]
    [InlineData("DELETE", "/v1/keyspaces/nowhere?id=4000000000", null, 404, "unknown-keyspace")]
    [InlineData("DELETE", "/v1/keyspaces/_system?id=1", null, 400, "invalid-argument")]
    [InlineData("GET", "/v1/keyspaces/nowhere/keys/k", null, 404, "unknown-keyspace")]
    [InlineData("GET", "/v1/keyspaces/orders/keys/k?level=best", null, 400, "invalid-argument")]
    [InlineData("GET", "/v1/keyspaces/orders/keys/k?level=quorum", null, 409, "level-not-offered")]
    [InlineData("GET", "/v1/keyspaces/orders/keys/k?timeout_ms=soon", null, 400, "invalid-argument")]
    [InlineData("GET", "/v1/keyspaces/orders/keys/k?siblings=perhaps", null, 400, "invalid-argument")]
    [InlineData("GET", "/v1/keyspaces/orders/keys?limit=0", null, 400, "invalid-argument")]
    [InlineData("PUT", "/v1/keyspaces/orders/keys/", "v", 400, "invalid-argument", "The URL names no key: write one")]
    [InlineData("PUT", "/v1/keyspaces/orders/keys", "v", 400, "invalid-argument", "The URL names no key: write one")]
    [InlineData("PUT", "/v1/keyspaces/orders/keys/?encoding=base64url", "v", 400, "invalid-argument", "The URL names no key: write one")]
    [InlineData("DELETE", "/v1/keyspaces/orders/keys/", null, 400, "invalid-argument", "The URL names no key: write one")]
    [InlineData("POST", "/v1/keyspaces/orders/keys/?increment=1", null, 400, "invalid-argument", "The URL names no key: write one")]
    [InlineData("HEAD", "/v1/keyspaces/orders/keys/", null, 400, "invalid-argument")]
    [InlineData("PUT", "/v1/keyspaces/orders/keys/!!?encoding=base64url", "v", 400, "invalid-argument")]
    [InlineData("PUT", "/v1/keyspaces/orders/keys/k?encoding=hex", "v", 400, "invalid-argument")]
    [InlineData("PUT", "/v1/keyspaces/Orders!", """{"policy": "cp", "replication": "sync"}""", 400, "invalid-argument")]
    [InlineData("PUT", "/v1/keyspaces/fresh", """{"policy": "both", "replication": "sync"}""", 400, "invalid-argument")]
    [InlineData("PUT", "/v1/keyspaces/fresh", """{"policy": "cp"}""", 400, "invalid-argument")]
    [InlineData("PUT", "/v1/keyspaces/fresh", """{"polici": "cp"}""", 400, "invalid-argument")]
    [InlineData("PUT", "/v1/keyspaces/fresh", "cp", 400, "invalid-argument")]
    public async Task Bad_input_gets_a_problem_document_that_says_what_to_do(string method, string path, string? body, int status, string code, string says = " ")
    {
        HttpResponseMessage answer = await SendAsync(new HttpMethod(method), path, _ => { }, body);
        ((int)answer.StatusCode).Should().Be(status, await answer.Content.ReadAsStringAsync());
        if (method == "HEAD")
        {
            answer.Headers.GetValues("KvStore-Code").Should().Equal(code);
            return;
        }

        JsonElement problem = await ProblemOf(answer);
        problem.GetProperty("code").GetString().Should().Be(code);
        problem.GetProperty("outcome").GetString().Should().Be("not-done");
        problem.GetProperty("detail").GetString().Should().NotBeNullOrWhiteSpace().And.Contain(says);
    }

    [Fact]
    public async Task A_value_or_key_that_is_too_large_is_refused_before_anything_is_kept()
    {
        HttpResponseMessage value = await _http.PutAsync("/v1/keyspaces/orders/keys/huge", new ByteArrayContent(new byte[1_048_577]));
        value.StatusCode.Should().Be(HttpStatusCode.RequestEntityTooLarge);
        HttpResponseMessage chunked = await SendAsync(HttpMethod.Put, "/v1/keyspaces/orders/keys/huge", with => with.TransferEncodingChunked = true, new string('x', 1_048_577));
        chunked.StatusCode.Should().Be(HttpStatusCode.RequestEntityTooLarge);
        HttpResponseMessage key = await _http.PutAsync($"/v1/keyspaces/orders/keys/{new string('k', 4_097)}", new StringContent("v"));
        key.StatusCode.Should().Be(HttpStatusCode.RequestEntityTooLarge);
        (await _http.GetAsync("/v1/keyspaces/orders/keys/huge")).StatusCode.Should().Be(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Siblings_of_an_open_key_are_listed_and_resolved_in_their_context()
    {
        await _http.PutAsync("/v1/keyspaces/carts/keys/cart", new StringContent("base"));
        HttpResponseMessage seen = await _http.GetAsync("/v1/keyspaces/carts/keys/cart");
        await SendAsync(HttpMethod.Put, "/v1/keyspaces/carts/keys/cart", with => with.Add("KvStore-Context", seen.Headers.ETag!.ToString()), "tea");
        await SendAsync(HttpMethod.Put, "/v1/keyspaces/carts/keys/cart", with => with.Add("KvStore-Context", seen.Headers.ETag!.ToString()), "milk");

        HttpResponseMessage both = await _http.GetAsync("/v1/keyspaces/carts/keys/cart?siblings=true");
        both.Headers.GetValues("KvStore-Siblings").Should().Equal("2");
        JsonElement listed = await both.Content.ReadFromJsonAsync<JsonElement>();
        listed.GetProperty("siblings").EnumerateArray().Select(sibling => Encoding.UTF8.GetString(sibling.GetProperty("value").GetBytesFromBase64())).Should().BeEquivalentTo("tea", "milk");

        await SendAsync(HttpMethod.Put, "/v1/keyspaces/carts/keys/cart", with => with.Add("KvStore-Context", both.Headers.ETag!.ToString()), "tea, milk");
        HttpResponseMessage one = await _http.GetAsync("/v1/keyspaces/carts/keys/cart");
        one.Headers.Contains("KvStore-Siblings").Should().BeFalse();
        (await one.Content.ReadAsStringAsync()).Should().Be("tea, milk");
    }

    [Fact]
    public async Task Probes_metrics_and_the_openapi_document_are_served()
    {
        (await _http.GetAsync("/health/live")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await _http.GetAsync("/health/ready")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await _http.GetStringAsync("/metrics")).Should().Contain("dotnet_");
        JsonElement document = await _http.GetFromJsonAsync<JsonElement>("/openapi/v1.json");
        JsonElement put = document.GetProperty("paths").GetProperty("/v1/keyspaces/{keyspace}/keys/{key}").GetProperty("put");
        put.GetProperty("parameters").EnumerateArray().Select(parameter => parameter.GetProperty("name").GetString()).Should().Contain(["keyspace", "key", "If-Match", "KvStore-Request-Id"]);
    }

    [Fact]
    public async Task Without_a_majority_the_answer_is_503_says_not_done_and_who_is_missing()
    {
        using var isolated = new HttpClient { BaseAddress = nodes.Cluster.Node(1).HttpAddress };
        await nodes.Cluster.IsolateAsync(1);
        try
        {
            HttpResponseMessage refused = await nodes.UntilAsync(() => isolated.PutAsync("/v1/keyspaces/orders/keys/cut", new StringContent("v")), answer =>
                answer.StatusCode == HttpStatusCode.ServiceUnavailable && answer.Headers.GetValues("KvStore-Code").Single() == "no-quorum");
            refused.Headers.GetValues("KvStore-Outcome").Should().Equal("not-done");
            refused.Headers.RetryAfter.Should().NotBeNull();
            (await isolated.GetAsync("/v1/keyspaces/orders/keys/cut?level=eventual")).StatusCode.Should().Be(HttpStatusCode.NotFound, "stale reads are still answered");
        }
        finally
        {
            await nodes.Cluster.HealAsync();
            await nodes.Cluster.WaitUntilWholeAsync();
        }
    }

    private static async Task<JsonElement> ProblemOf(HttpResponseMessage answer)
    {
        answer.Content.Headers.ContentType!.MediaType.Should().Be("application/problem+json");
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, Action<HttpRequestHeaders> with, string? body = null)
    {
        using var request = new HttpRequestMessage(method, path);
        if (body is not null)
        {
            request.Content = new StringContent(body, Encoding.UTF8, path.Contains("/keys/", StringComparison.Ordinal) ? "application/octet-stream" : "application/json");
        }

        with(request.Headers);
        return await _http.SendAsync(request);
    }
}
