namespace KvStore.Cluster.Tests.Watching;

internal sealed record SseEvent(string Name, string? Id, string Data);

/// <summary>Reads server-sent events, as a browser does.</summary>
internal sealed class SseReader : IDisposable
{
    private readonly HttpResponseMessage _response;
    private readonly StreamReader _lines;
    private readonly CancellationTokenSource _deadline = new(TimeSpan.FromSeconds(30));

    private SseReader(HttpResponseMessage response, Stream body)
    {
        _response = response;
        _lines = new StreamReader(body);
    }

    public static async Task<SseReader> OpenAsync(HttpClient http, string target, string? lastId = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, target);
        if (lastId is not null)
        {
            request.Headers.Add("Last-Event-ID", lastId);
        }

        HttpResponseMessage response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        response.EnsureSuccessStatusCode();
        return new SseReader(response, await response.Content.ReadAsStreamAsync());
    }

    /// <summary>The next event with one of these names; without names, any.</summary>
    public async Task<SseEvent> NextAsync(params string[] names)
    {
        while (true)
        {
            (string name, string? id, string data) = ("", null, "");
            while (await _lines.ReadLineAsync(_deadline.Token) is { Length: > 0 } line)
            {
                int colon = line.IndexOf(": ", StringComparison.Ordinal);
                string value = line[(colon + 2)..];
                (name, id, data) = line[..colon] switch
                {
                    "event" => (value, id, data),
                    "id" => (name, value, data),
                    "data" => (name, id, value),
                    _ => (name, id, data),
                };
            }

            if (name.Length > 0 && (names.Length == 0 || names.Contains(name)))
            {
                return new SseEvent(name, id, data);
            }
        }
    }

    public void Dispose()
    {
        _lines.Dispose();
        _response.Dispose();
        _deadline.Dispose();
    }
}
