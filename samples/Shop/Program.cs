using Shop;

await ShopApp.Build(args).RunAsync();
