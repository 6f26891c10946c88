using KvStore.Client;
using Shop.Carts;
using Shop.Hosting;
using Shop.Orders;

namespace Shop;

/// <summary>The shop: what it is made of, and its routes. Start reading here.</summary>
public static class ShopApp
{
    private const string Recent = "recent";
    private const char Separator = '\n';
    private const int MostRecent = 10;

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
        app.MapGet("/cart", async (HttpContext http, CartStore carts) => await carts.GetAsync(CartOf(http), http.RequestAborted));
        app.MapGet("/recent", (Delegate)RecentAsync);
        app.MapPost("/cart/{product}", async (string product, HttpContext http, CartStore carts, int quantity = 1) =>
        {
            if (quantity is < 1 or > 100 || product.Length > 100)
            {
                return Results.BadRequest();
            }

            await RememberAsync(http, product);
            return Results.Ok(await carts.ChangeAsync(CartOf(http), cart => cart.With(product, quantity), http.RequestAborted));
        });
        app.MapDelete("/cart/{line}", async (string line, HttpContext http, CartStore carts) => await carts.ChangeAsync(CartOf(http), cart => cart.Without(line), http.RequestAborted));
        app.MapPost("/checkout", async (HttpContext http, CartStore carts, OrderDesk desk) => await CheckoutAsync(CartOf(http), carts, desk, http.RequestAborted));
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

    /// <summary>
    /// The visitor's cart is named by a cookie of its own, not in the session: a session that was begun a moment before a cut, or on its other side, is not found here, and begins anew. The cart must not hang on that.
    /// </summary>
    private static string CartOf(HttpContext http)
    {
        const string Cookie = "cart";
        if (http.Request.Cookies[Cookie] is { } known && Guid.TryParseExact(known, "N", out _))
        {
            return known;
        }

        string id = Guid.NewGuid().ToString("N");
        http.Response.Cookies.Append(Cookie, id, new CookieOptions { HttpOnly = true, SameSite = SameSiteMode.Lax, MaxAge = TimeSpan.FromDays(30) });
        return id;
    }

    private static async Task<string[]> RecentAsync(HttpContext http)
    {
        await http.Session.LoadAsync(http.RequestAborted);
        return http.Session.GetString(Recent)?.Split(Separator) ?? [];
    }

    private static async Task RememberAsync(HttpContext http, string product)
    {
        string[] last = [.. (await RecentAsync(http)).TakeLast(MostRecent - 1), product];
        http.Session.SetString(Recent, string.Join(Separator, last));
    }
}
