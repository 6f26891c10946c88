using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using FluentAssertions;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Rest;

/// <summary>Transactions through the HTTP face.</summary>
[Collection(ClusterCollection.Name)]
public sealed class TransactionResourceTests(RestNodes nodes) : IClassFixture<RestNodes>
{
    private const string Path = "/v1/keyspaces/orders/transactions";

    private readonly HttpClient _http = nodes.Http;

    [Fact]
    public async Task Comparisons_choose_the_branch_and_results_come_in_its_order()
    {
        JsonElement opened = await OkAsync("""
            {"if": [{"key": "{t}/a", "exists": false}],
             "then": [{"put": "{t}/a", "text": "one"}, {"put": "{t}/b", "value": "dHdv", "ttlMs": 600000}, {"get": "{t}/b"}, {"delete": "{t}/none"}]}
            """);
        opened.GetProperty("branch").GetString().Should().Be("then");
        JsonElement[] results = [.. opened.GetProperty("results").EnumerateArray()];
        results.Select(result => result.EnumerateObject().First().Name).Should().Equal("put", "put", "get", "delete");
        string version = results[0].GetProperty("version").GetString()!;
        results[2].GetProperty("value").GetBytesFromBase64().Should().Equal("two"u8.ToArray());
        results[2].GetProperty("expiresInMs").GetInt64().Should().BeInRange(1, 600_000);

        HttpResponseMessage single = await _http.GetAsync("/v1/keyspaces/orders/keys/%7Bt%7D/a");
        single.Headers.ETag!.Tag.Should().Be(version, "versions are those of single keys");
        string move = $$"""
            {"if": [{"key": "{t}/a", "version": {{JsonSerializer.Serialize(version)}}}, {"key": "{t}/b", "text": "two"}, {"key": "{t}/b", "value": "dHdv"}, {"key": "{t}/b", "exists": true}],
             "then": [{"delete": "{t}/a"}], "else": [{"get": "{t}/a"}]}
            """;
        (await OkAsync(move)).GetProperty("branch").GetString().Should().Be("then");
        JsonElement again = await OkAsync(move);
        again.GetProperty("branch").GetString().Should().Be("else");
        again.GetProperty("results")[0].GetProperty("found").GetBoolean().Should().BeFalse();
    }

    [Fact]
    public async Task The_same_request_id_has_one_effect_and_the_same_answer()
    {
        const string Body = """{"if": [{"key": "{r}/n", "exists": false}], "then": [{"put": "{r}/n", "text": "1"}]}""";
        string first = await (await PostAsync(Body, "7ab-1")).Content.ReadAsStringAsync();
        (await (await PostAsync(Body, "7ab-1")).Content.ReadAsStringAsync()).Should().Be(first).And.Contain("then");
        HttpResponseMessage reused = await PostAsync("""{"then": [{"put": "{r}/n", "text": "2"}]}""", "7ab-1");
        reused.StatusCode.Should().Be(HttpStatusCode.BadRequest);
        (await reused.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("code").GetString().Should().Be("request-reused");
    }

    [Theory]
    [InlineData("""{""", "can't be read")]
    [InlineData("""null""", "null")]
    [InlineData("""[]""", "can't be read")]
    [InlineData("""{}""", "1 to 128")]
    [InlineData("""{"then": [null]}""", "null")]
    [InlineData("""{"unless": []}""", "can't be read")]
    [InlineData("""{"if": [{"exists": true}]}""", "names its key")]
    [InlineData("""{"if": [{"key": "k"}]}""", "one of exists, version, value and text")]
    [InlineData("""{"if": [{"key": "k", "exists": true, "text": "v"}]}""", "one of exists, version, value and text")]
    [InlineData("""{"if": [{"key": "k", "version": "abc"}]}""", "entity tag")]
    [InlineData("""{"if": [{"key": "k", "version": "\"AAAA\""}], "then": [{"get": "k"}]}""", "none of this keyspace's")]
    [InlineData("""{"then": [{"put": "k"}]}""", "one of value (base64) and text")]
    [InlineData("""{"then": [{"put": "k", "value": "%%"}]}""", "can't be read")]
    [InlineData("""{"then": [{"get": "k", "delete": "k"}]}""", "one of get, put and delete")]
    [InlineData("""{"then": [{"get": "k", "text": "v"}]}""", "for puts")]
    [InlineData("""{"then": [{"get": ""}]}""", "empty")]
    [InlineData("""{"then": [{"get": "%4"}]}""", "percent-encoded")]
    [InlineData("""{"then": [{"put": "k", "text": "1"}, {"delete": "k"}]}""", "twice")]
    [InlineData("""{"then": [{"put": "k", "text": "1", "ttlMs": 999999999999}]}""", "out of bounds")]
    [InlineData("""{"then": [{"get": "a"}, {"get": "b"}, {"get": "c"}, {"get": "d"}, {"get": "e"}, {"get": "f"}, {"get": "g"}, {"get": "h"}, {"get": "i"}, {"get": "j"}]}""", "tag in braces")]
    public async Task A_bad_transaction_is_refused_with_a_sentence(string body, string because)
    {
        HttpResponseMessage refused = await PostAsync(body);
        string detail = await refused.Content.ReadAsStringAsync();
        refused.StatusCode.Should().Be(HttpStatusCode.BadRequest, detail);
        refused.Content.Headers.ContentType!.MediaType.Should().Be("application/problem+json");
        JsonDocument.Parse(detail).RootElement.GetProperty("detail").GetString().Should().Contain(because);
    }

    [Fact]
    public async Task What_is_too_large_or_in_the_wrong_keyspace_says_so()
    {
        string large = new('x', 1_048_577);
        (await PostAsync($$"""{"then": [{"put": "k", "text": "{{large}}"}]}""")).StatusCode.Should().Be(HttpStatusCode.RequestEntityTooLarge);
        (await PostAsync($$"""{"then": [{"put": "k", "text": "{{large}}{{large}}"}]}""")).StatusCode.Should().Be(HttpStatusCode.RequestEntityTooLarge);
        using var plain = new StringContent("""{"then": [{"get": "k"}]}""", Encoding.UTF8, "text/plain");
        (await _http.PostAsync(Path, plain)).StatusCode.Should().Be(HttpStatusCode.UnsupportedMediaType);
        using var content = new StringContent("""{"then": [{"get": "k"}]}""", Encoding.UTF8, "application/json");
        HttpResponseMessage open = await _http.PostAsync("/v1/keyspaces/carts/transactions", content);
        open.StatusCode.Should().Be(HttpStatusCode.Conflict);
        (await open.Content.ReadAsStringAsync()).Should().Contain("A transaction needs one order of all writes");
        using var lost = new StringContent("""{"then": [{"get": "k"}]}""", Encoding.UTF8, "application/json");
        (await _http.PostAsync("/v1/keyspaces/nowhere/transactions", lost)).StatusCode.Should().Be(HttpStatusCode.NotFound);
        (await _http.GetStringAsync("/openapi/v1.json")).Should().Contain("/v1/keyspaces/{keyspace}/transactions");
    }

    private async Task<JsonElement> OkAsync(string body)
    {
        HttpResponseMessage answer = await PostAsync(body);
        answer.StatusCode.Should().Be(HttpStatusCode.OK, await answer.Content.ReadAsStringAsync());
        answer.Headers.GetValues("KvStore-Outcome").Should().Equal("done");
        return await answer.Content.ReadFromJsonAsync<JsonElement>();
    }

    private async Task<HttpResponseMessage> PostAsync(string body, string? requestId = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, Path) { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        if (requestId is not null)
        {
            request.Headers.Add("KvStore-Request-Id", requestId);
        }

        return await _http.SendAsync(request);
    }
}
