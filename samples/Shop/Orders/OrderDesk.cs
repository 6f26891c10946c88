using KvStore.Client;
using Shop.Carts;
using Shop.Hosting;

namespace Shop.Orders;

/// <summary>An order.</summary>
/// <param name="Number">No other order ever has it.</param>
/// <param name="Checkout">Which checkout of its cart it was, from 0.</param>
/// <param name="Lines">What was ordered.</param>
public sealed record Order(long Number, int Checkout, IReadOnlyList<CartLine> Lines);

/// <summary>
/// Orders in a cp keyspace: only a side with a majority takes them. The number is a counter that no two calls get the same value of; the order itself is a key that is written once, named after its cart and the checkout, so
/// that a checkout which is repeated (a second click, a retry after an answer that was lost) gets the order that was placed, and not another one. A number may be left out; none is given twice.
/// </summary>
public sealed class OrderDesk(IKvClient client)
{
    private const string LastNumber = "last-number";
    private const string Prefix = "order/";

    private readonly IKvKeyspace _orders = client.Keyspace(Keyspaces.Orders);

    /// <exception cref="KvException">It was refused, or nobody knows whether it was placed. Asking again is right in both cases.</exception>
    public async Task<Order> PlaceAsync(string cartId, CartView cart, CancellationToken aborted)
    {
        string key = $"{Prefix}{cartId}/{cart.Checkouts}";
        if (await _orders.GetAsync<Order>(key, cancellationToken: aborted) is { } placed)
        {
            return placed.Value;
        }

        long number = await _orders.IncrementAsync(LastNumber, cancellationToken: aborted);
        var order = new Order(number, cart.Checkouts, cart.Lines);
        KvWriteResult written = await _orders.TryPutAsync(key, order, KvVersion.Absent, cancellationToken: aborted);
        return written.Outcome switch
        {
            KvOutcome.Done => order,
            KvOutcome.NotDone => (await _orders.GetAsync<Order>(key, cancellationToken: aborted))!.Value, // somebody was faster with the same cart
            _ => throw new KvException($"Nobody knows whether the order was placed: {written.Reason}", written.Code, KvPhase.Sent, outcomeUnknown: true),
        };
    }

    public async Task<IReadOnlyList<Order>> AllAsync(CancellationToken aborted)
    {
        List<Order> all = [];
        await foreach (KvEntry<Order> entry in _orders.ScanAsync<Order>(KvRange.Prefix(Prefix), cancellationToken: aborted))
        {
            all.Add(entry.Value);
        }

        return [.. all.OrderBy(order => order.Number)];
    }
}
