using System.Text.Json.Serialization;
using Shop.Carts;
using Shop.Orders;

namespace Shop;

/// <summary>What is kept in the store, as JSON.</summary>
[JsonSerializable(typeof(Cart))]
[JsonSerializable(typeof(Order))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
public sealed partial class ShopJson : JsonSerializerContext;
