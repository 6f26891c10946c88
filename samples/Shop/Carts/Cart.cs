using Shop.Orders;

namespace Shop.Carts;

/// <summary>A line of a cart. It is never changed but to be taken out, and it has a name of its own: that is what makes carts easy to merge.</summary>
public sealed record CartLine(string Id, string Product, int Quantity, bool IsOut = false);

/// <summary>A cart: its lines, with those that were taken out, and how often it has been checked out.</summary>
/// <remarks>
/// Two sides of a cut may change it at the same time. <see cref="Merge"/> makes one cart of what both have: the union of the lines, where a line that was taken out on either side is out. So nothing that was put in is lost, and
/// nothing that was taken out or ordered comes back.
/// </remarks>
public sealed record Cart(int Checkouts, IReadOnlyList<CartLine> Lines)
{
    public static Cart Empty { get; } = new(0, []);

    public IEnumerable<CartLine> OpenLines => Lines.Where(line => !line.IsOut);

    /// <summary>The same for the same carts in any order, as every resolver has to be.</summary>
    public static Cart Merge(IEnumerable<Cart> carts)
    {
        Cart[] all = [.. carts];
        return new Cart(
            all.Max(cart => cart.Checkouts),
            [.. all.SelectMany(cart => cart.Lines).GroupBy(line => line.Id).Select(line => line.First() with { IsOut = line.Any(version => version.IsOut) }).OrderBy(line => line.Id, StringComparer.Ordinal)]);
    }

    public Cart With(string product, int quantity) => this with { Lines = [.. Lines, new CartLine(Guid.CreateVersion7().ToString("N"), product, quantity)] };

    public Cart Without(string lineId) => this with { Lines = [.. Lines.Select(line => line.Id == lineId ? line with { IsOut = true } : line)] };

    /// <summary>Takes out what was ordered. What has come meanwhile stays, for the next order.</summary>
    public Cart Ordered(Order order) => new(
        Math.Max(Checkouts, order.Checkout + 1),
        [.. Lines.Select(line => order.Lines.Any(ordered => ordered.Id == line.Id) ? line with { IsOut = true } : line)]);
}

/// <summary>A cart as visitors see it, and how well it is kept.</summary>
/// <param name="Checkouts">How often it has been checked out.</param>
/// <param name="Lines">What is in it.</param>
/// <param name="Merged">It was changed on two sides at once, and this is what became of both.</param>
/// <param name="Copies">On how many nodes the change is, or how many were asked.</param>
/// <param name="Degraded">Not as many as usual: some can't be reached.</param>
public sealed record CartView(int Checkouts, IReadOnlyList<CartLine> Lines, bool Merged, int Copies, bool Degraded);
