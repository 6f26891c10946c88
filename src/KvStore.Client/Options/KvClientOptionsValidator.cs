using KvStore.Contracts;
using Microsoft.Extensions.Options;

namespace KvStore.Client;

/// <summary>Says what is wrong with <see cref="KvClientOptions"/>, all of it at once.</summary>
internal sealed class KvClientOptionsValidator : IValidateOptions<KvClientOptions>
{
    public static void ThrowIfInvalid(KvClientOptions options)
    {
        List<string> errors = [.. Errors(options)];
        if (errors.Count > 0)
        {
            throw new OptionsValidationException(nameof(KvClientOptions), typeof(KvClientOptions), errors);
        }
    }

    public ValidateOptionsResult Validate(string? name, KvClientOptions options)
    {
        List<string> errors = [.. Errors(options)];
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }

    private static IEnumerable<string> Errors(KvClientOptions options)
    {
        if (options.Endpoints.Count == 0)
        {
            yield return "Endpoints must name at least one node, as \"http://host:port\".";
        }

        foreach (string endpoint in options.Endpoints)
        {
            if (!Uri.TryCreate(endpoint, UriKind.Absolute, out Uri? uri) || (uri.Scheme != Uri.UriSchemeHttp && uri.Scheme != Uri.UriSchemeHttps))
            {
                yield return $"Endpoint \"{endpoint}\" is not of the form \"http://host:port\".";
            }
        }

        TimeSpan longest = TimeSpan.FromMilliseconds(KvLimits.MaxTimeoutMs);
        if (options.DefaultTimeout <= TimeSpan.Zero || options.DefaultTimeout > longest)
        {
            yield return "DefaultTimeout must be more than zero and at most 10 minutes.";
        }

        if (options.AttemptTimeout < TimeSpan.FromMilliseconds(50) || options.AttemptTimeout > longest)
        {
            yield return "AttemptTimeout must be 50 ms to 10 minutes.";
        }

        if (options.ConnectTimeout < TimeSpan.FromMilliseconds(10) || options.ConnectTimeout > TimeSpan.FromMinutes(1))
        {
            yield return "ConnectTimeout must be 10 ms to 1 minute.";
        }

        if (options.MaxInFlightPerNode is < 1 or > 65_536)
        {
            yield return "MaxInFlightPerNode must be 1 to 65,536.";
        }

        if (options.MaxInFlightBytesPerNode is < 2 * 1_048_576 or > 256 * 1_048_576)
        {
            yield return "MaxInFlightBytesPerNode must be 2 MiB to 256 MiB.";
        }

        if (options.Serializer is null)
        {
            yield return "Serializer must not be null.";
        }
    }
}
