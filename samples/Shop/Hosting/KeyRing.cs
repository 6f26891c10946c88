using System.Xml.Linq;
using KvStore.Client;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.AspNetCore.DataProtection.Repositories;

namespace Shop.Hosting;

/// <summary>The keys that cookies are encrypted with, in the store: every instance of the shop can read the cookies of every other one. (They lie there in the clear; a real shop adds ProtectKeysWithCertificate.)</summary>
public sealed class KeyRing(IKvClient client) : IXmlRepository
{
    private readonly IKvKeyspace _keys = client.Keyspace(Keyspaces.Keys);

    public IReadOnlyCollection<XElement> GetAllElements() => ReadAsync().GetAwaiter().GetResult();

    public void StoreElement(XElement element, string friendlyName) =>
        _keys.PutAsync(friendlyName, element.ToString(SaveOptions.DisableFormatting)).AsTask().GetAwaiter().GetResult();

    private async Task<IReadOnlyCollection<XElement>> ReadAsync()
    {
        List<XElement> all = [];
        await foreach (KvEntry<string> entry in _keys.ScanAsync<string>(KvRange.All).ConfigureAwait(false))
        {
            all.Add(XElement.Parse(entry.Value));
        }

        return all;
    }
}

/// <summary>Registers the key ring.</summary>
public static class KeyRingExtensions
{
    public static void AddKeyRing(this IServiceCollection services)
    {
        services.AddDataProtection().SetApplicationName("shop");
        services.AddOptions<KeyManagementOptions>().Configure<IKvClient>((options, client) => options.XmlRepository = new KeyRing(client));
    }
}
