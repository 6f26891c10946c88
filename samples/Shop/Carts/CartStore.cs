using KvStore.Client;
using Shop.Hosting;

namespace Shop.Carts;

/// <summary>Carts in an ap keyspace: they can be read and changed on every side of a cut.</summary>
public sealed partial class CartStore(IKvClient client, ILogger<CartStore> log)
{
    private static readonly KvWriteOptions Kept = new() { Ttl = TimeSpan.FromDays(30) };

    private readonly IKvKeyspace _carts = client.Keyspace(Keyspaces.Carts, new KvKeyspaceOptions
    {
        Resolver = KvResolver.Of<Cart>((_, siblings) => Cart.Merge(siblings.Select(sibling => sibling.Value))),
        WriteBackResolved = true,
    });

    public async Task<CartView> GetAsync(string id, CancellationToken aborted)
    {
        KvEntry<Cart>? entry = await _carts.GetAsync<Cart>(id, cancellationToken: aborted);
        Cart cart = entry?.Value ?? Cart.Empty;
        return new CartView(cart.Checkouts, [.. cart.OpenLines], entry?.Resolved ?? false, entry?.Acknowledgements ?? 0, entry?.Degraded ?? false);
    }

    /// <summary>Writes in the place of what was read, and of nothing else: a change that somebody made meanwhile stays beside it, and the next read merges both.</summary>
    public async Task<CartView> ChangeAsync(string id, Func<Cart, Cart> change, CancellationToken aborted)
    {
        KvEntry<Cart>? entry = await _carts.GetAsync<Cart>(id, cancellationToken: aborted);
        Cart changed = change(entry?.Value ?? Cart.Empty);
        KvWriteResult written = await _carts.PutInContextAsync(id, changed, entry?.Version ?? KvVersion.Absent, Kept, aborted);
        return new CartView(changed.Checkouts, [.. changed.OpenLines], entry?.Resolved ?? false, written.Acknowledgements, written.Degraded);
    }

    /// <summary>The same where the change may wait: whoever checks out next finds the order that was placed, and makes it then.</summary>
    public async Task TryChangeAsync(string id, Func<Cart, Cart> change, CancellationToken aborted)
    {
        try
        {
            await ChangeAsync(id, change, aborted);
        }
        catch (KvException failure)
        {
            KeepsOrderedLines(failure.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "A cart keeps lines that were ordered, until its next checkout. {Reason}")]
    private partial void KeepsOrderedLines(string reason);
}
