using FluentAssertions;
using Shop.Carts;
using Shop.Orders;
using Xunit;

namespace Shop.Tests;

/// <summary>Carts merge the same way in any order, and a checkout that is repeated gets the same order.</summary>
public sealed class CartTests
{
    private static readonly CartLine Tea = new("1", "tea", 1);
    private static readonly CartLine Milk = new("2", "milk", 2);

    [Fact]
    public void Carts_merge_to_the_union_of_their_lines_in_any_order()
    {
        Cart a = new(0, [Tea, Milk]);
        Cart b = new(0, [Tea with { IsOut = true }]);
        Cart c = new(1, [Milk]);
        Cart merged = Cart.Merge([a, b, c]);
        merged.Checkouts.Should().Be(1);
        merged.OpenLines.Should().Equal(Milk);
        foreach (Cart[] order in (Cart[][])[[a, c, b], [b, a, c], [c, b, a], [merged, a], [merged, merged]])
        {
            Cart.Merge(order).Should().BeEquivalentTo(merged);
        }
    }

    [Fact]
    public void What_was_put_in_after_an_order_stays_for_the_next()
    {
        Cart cart = new(0, [Tea, Milk]);
        Cart after = cart.Ordered(new Order(7, 0, [Tea]));
        after.OpenLines.Should().Equal(Milk);
        after.Checkouts.Should().Be(1);
        after.Ordered(new Order(7, 0, [Tea])).Should().BeEquivalentTo(after);
    }
}
