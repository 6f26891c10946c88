using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using FluentAssertions;
using Shop.Carts;
using Shop.Orders;
using Xunit;

namespace Shop.Tests;

/// <summary>What visitors see when the data centres lose each other. Each test ends with a network that is whole.</summary>
public sealed class PartitionTests(ShopCluster shop) : IClassFixture<ShopCluster>
{
    [Fact]
    public async Task A_cart_works_on_both_sides_of_a_cut_and_is_one_again_afterwards()
    {
        using Visitor left = shop.Left.Visit();
        await left.PutInAsync("tea");
        await left.PutInAsync("soap");
        await shop.SettleAsync();
        using Visitor right = shop.Right.Visit(left.Cookies);
        (await right.CartAsync()).Lines.Select(line => line.Product).Should().Equal("tea", "soap");

        await shop.CutAsync();
        CartView alone = await left.PutInAsync("milk");
        (alone.Copies, alone.Degraded).Should().Be((1, true), "the shop says how well it is kept");
        await left.TakeOutAsync("soap");
        await right.PutInAsync("bread");
        (await left.CartAsync()).Lines.Select(line => line.Product).Should().Equal("tea", "milk");
        (await right.CartAsync()).Lines.Select(line => line.Product).Should().Equal("tea", "soap", "bread");

        await shop.HealAsync();
        CartView merged = await left.CartAsync();
        merged.Merged.Should().BeTrue();
        merged.Lines.Select(line => line.Product).Should().BeEquivalentTo("tea", "milk", "bread");
        await shop.SettleAsync();
        (await right.CartAsync()).Lines.Should().BeEquivalentTo(merged.Lines);
        (await right.CartAsync()).Merged.Should().BeFalse("the merged cart was written back");
    }

    [Fact]
    public async Task A_session_goes_on_on_both_sides_of_a_cut_and_the_last_change_counts()
    {
        using Visitor left = shop.Left.Visit();
        await left.PutInAsync("tea");
        await shop.SettleAsync();
        using Visitor right = shop.Right.Visit(left.Cookies);
        (await right.RecentAsync()).Should().Equal("tea");

        await shop.CutAsync();
        await left.PutInAsync("milk");
        await right.PutInAsync("bread");
        (await left.RecentAsync()).Should().Equal("tea", "milk");
        (await right.RecentAsync()).Should().Equal("tea", "bread");

        await shop.HealAsync();
        (await left.RecentAsync()).Should().Equal("tea", "bread");
        (await right.RecentAsync()).Should().Equal("tea", "bread");
    }

    [Fact]
    public async Task Orders_are_refused_on_the_side_without_a_majority_and_a_line_is_ordered_once()
    {
        using Visitor left = shop.Left.Visit();
        await left.PutInAsync("tea");
        await shop.SettleAsync();
        using Visitor right = shop.Right.Visit(left.Cookies);

        await shop.CutAsync();
        await left.PutInAsync("milk");
        using HttpResponseMessage refused = await left.CheckOutAsync();
        refused.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        refused.Headers.RetryAfter!.Delta.Should().Be(TimeSpan.FromSeconds(5));
        JsonElement problem = await refused.Content.ReadFromJsonAsync<JsonElement>();
        problem.GetProperty("title").GetString().Should().StartWith("Not now. Nothing was done");
        problem.GetProperty("unreachable").EnumerateArray().Select(node => node.GetInt32()).Should().BeEquivalentTo([2, 3]);

        Order first = await right.OrderAsync();
        first.Lines.Select(line => line.Product).Should().Equal("tea");

        await shop.HealAsync();
        (await left.CartAsync()).Lines.Select(line => line.Product).Should().Equal("milk");
        Order second = await left.OrderAsync();
        second.Lines.Select(line => line.Product).Should().Equal("milk");
        second.Number.Should().NotBe(first.Number);
    }

    [Fact]
    public async Task Order_numbers_never_repeat_whatever_the_network_does()
    {
        ConcurrentBag<Order> placed = [];
        int refused = 0;
        using var enough = new CancellationTokenSource();
        Task[] visitors = [.. new[] { shop.Left, shop.Left, shop.Right, shop.Right }.Select(instance => Task.Run(() => ShopOnAsync(instance)))];

        await shop.Cluster.WaitUntilAsync("orders are placed", () => Task.FromResult(placed.Count >= 20));
        await shop.CutAsync();
        int before = placed.Count;
        await shop.Cluster.WaitUntilAsync("one side places orders, the other one refuses them", () => Task.FromResult(placed.Count >= before + 20 && Volatile.Read(ref refused) >= 2));
        await shop.Cluster.HealAsync();
        await shop.Cluster.WaitUntilWholeAsync();
        before = placed.Count;
        await shop.Cluster.WaitUntilAsync("orders are placed again", () => Task.FromResult(placed.Count >= before + 20));
        await enough.CancelAsync();
        await Task.WhenAll(visitors);

        await shop.SettleAsync();
        using Visitor clerk = shop.Left.Visit();
        IReadOnlyList<Order> books = await clerk.OrdersAsync();
        books.Select(order => order.Number).Should().OnlyHaveUniqueItems();
        placed.Select(order => order.Number).Should().OnlyHaveUniqueItems().And.BeSubsetOf(books.Select(order => order.Number), "what a visitor was promised stands in the books");
        books.SelectMany(order => order.Lines).Select(line => line.Id).Should().OnlyHaveUniqueItems("no line is ordered twice");

        async Task ShopOnAsync(ShopInstance instance)
        {
            while (!enough.IsCancellationRequested)
            {
                using Visitor visitor = instance.Visit();
                await visitor.PutInAsync("tea");
                HttpStatusCode status;
                do
                {
                    using HttpResponseMessage answer = await visitor.CheckOutAsync();
                    status = answer.StatusCode;
                    if (status == HttpStatusCode.Created)
                    {
                        placed.Add((await answer.Content.ReadFromJsonAsync<Order>())!);
                    }
                    else if (status == HttpStatusCode.BadRequest)
                    {
                        // "The cart is empty": a cut or a heal sent this visitor to a node that the cart has not reached yet. What is put in now is merged with it.
                        await visitor.PutInAsync("milk");
                    }
                    else
                    {
                        status.Should().Be(HttpStatusCode.ServiceUnavailable);
                        Interlocked.Increment(ref refused);
                    }
                }
                while (status != HttpStatusCode.Created && !enough.IsCancellationRequested);
            }
        }
    }
}
