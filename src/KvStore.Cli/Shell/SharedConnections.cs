using System.Globalization;
using KvStore.Client;

namespace KvStore.Cli.Shell;

/// <summary>The clients that a shell has used, kept open from line to line: one for each set of addresses and timeout.</summary>
internal sealed class SharedConnections(Func<KvClientOptions, IKvClient> connect) : IAsyncDisposable
{
    /// <summary>Past it the oldest is closed.</summary>
    private const int MostClients = 8;

    private readonly List<(string Name, IKvClient Client)> _clients = [];

    public IKvClient Connect(KvClientOptions options)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"{string.Join(',', options.Endpoints)} {options.DefaultTimeout.TotalMilliseconds}");
        var known = _clients.FirstOrDefault(each => each.Name == name).Client;
        if (known is not null)
        {
            return known;
        }

        var client = connect(options);
        _clients.Add((name, client));
        return client;
    }

    /// <summary>Between two lines: nobody uses what is closed.</summary>
    public async Task TrimAsync()
    {
        while (_clients.Count > MostClients)
        {
            await _clients[0].Client.DisposeAsync();
            _clients.RemoveAt(0);
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var (_, client) in _clients)
        {
            await client.DisposeAsync();
        }
    }
}
