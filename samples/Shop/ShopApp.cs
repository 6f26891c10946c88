using KvStore.Client;
using Shop.Carts;
using Shop.Hosting;
using Shop.Orders;

namespace Shop;

/// <summary>The shop: what it is made of, and its routes. Start reading here.</summary>
public static class ShopApp
{
    /// <param name="args">The command line.</param>
    /// <param name="configure">What a test changes.</param>
    public static WebApplication Build(string[] args, Action<WebApplicationBuilder>? configure = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        IServiceCollection services = builder.Services;

        // One client for everything; "ConnectionStrings:kv" says where the cluster is.
        services.AddKvStore("kv");
        services.AddOptions<KvClientOptions>().Configure(options => options.Serializer = new KvSerializer().Add(ShopJson.Default.Cart).Add(ShopJson.Default.Order));
        services.AddHealthChecks().AddKvStore();

        // Before all that use them: creates the keyspaces that are not there yet.
        services.AddHostedService<Keyspaces>();

        // Sessions in memory, on every node, on both sides of whatever breaks.
        services.AddKvStoreCache(options => options.Keyspace = Keyspaces.Sessions);
        services.AddSession(options => (options.Cookie.Name, options.IdleTimeout) = ("shop", TimeSpan.FromMinutes(30)));
        services.AddKeyRing();

        services.AddSingleton<CartStore>();
        services.AddSingleton<OrderDesk>();
        services.AddProblemDetails();
        services.AddExceptionHandler<StoreRefusals>();
        configure?.Invoke(builder);

        WebApplication app = builder.Build();
        app.UseExceptionHandler();
        app.UseSession();
        app.MapHealthChecks("/health");
        app.MapGet("/cart", async (HttpContext http, CartStore carts) => await carts.GetAsync(await CartOf(http), http.RequestAborted));
        app.MapPost("/cart/{product}", async (string product, HttpContext http, CartStore carts, int quantity = 1) =>
            quantity is >= 1 and <= 100 && product.Length <= 100
                ? Results.Ok(await carts.ChangeAsync(await CartOf(http), cart => cart.With(product, quantity), http.RequestAborted))
                : Results.BadRequest());
        app.MapDelete("/cart/{line}", async (string line, HttpContext http, CartStore carts) => await carts.ChangeAsync(await CartOf(http), cart => cart.Without(line), http.RequestAborted));
        app.MapPost("/checkout", async (HttpContext http, CartStore carts, OrderDesk desk) => await CheckoutAsync(await CartOf(http), carts, desk, http.RequestAborted));
        app.MapGet("/orders", (OrderDesk desk, CancellationToken aborted) => desk.AllAsync(aborted));
        return app;
    }

    private static async Task<IResult> CheckoutAsync(string cartId, CartStore carts, OrderDesk desk, CancellationToken aborted)
    {
        CartView cart = await carts.GetAsync(cartId, aborted);
        if (cart.Lines.Count == 0)
        {
            return Results.Problem("The cart is empty.", statusCode: StatusCodes.Status400BadRequest);
        }

        Order order = await desk.PlaceAsync(cartId, cart, aborted);
        await carts.TryChangeAsync(cartId, now => now.Ordered(order), aborted);
        return Results.Created($"/orders/{order.Number}", order);
    }

    /// <summary>The visitor's cart is named in the session, from the first visit on.</summary>
    private static async Task<string> CartOf(HttpContext http)
    {
        const string CartKey = "cart";
        await http.Session.LoadAsync(http.RequestAborted);
        if (http.Session.GetString(CartKey) is not { } id)
        {
            id = Guid.CreateVersion7().ToString("N");
            http.Session.SetString(CartKey, id);
        }

        return id;
    }
}
