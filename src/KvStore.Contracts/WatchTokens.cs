using System.Buffers.Text;
using Google.Protobuf;
using KvStore.Contracts.V1;

namespace KvStore.Contracts;

/// <summary>Tokens of watches as text. Part of the wire contract: a token travels between processes, and outlives versions.</summary>
public static class WatchTokens
{
    /// <summary>Never zero.</summary>
    public static ulong ClusterMark(string clusterId) => SessionTokens.ClusterMark(clusterId);

    public static string ToText(WatchToken token) => Base64Url.EncodeToString(token.ToByteArray());

    /// <summary>False: the text is no token, or too long.</summary>
    public static bool TryParse(string text, out WatchToken token)
    {
        token = new WatchToken();
        return text.Length <= KvLimits.MaxWatchTokenBytes * 4L / 3 && Base64Url.IsValid(text) && TryParse(Base64Url.DecodeFromChars(text), out token);
    }

    /// <summary>False: the bytes are no token, or too long.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out WatchToken token)
    {
        token = new WatchToken();
        if (bytes.IsEmpty || bytes.Length > KvLimits.MaxWatchTokenBytes)
        {
            return false;
        }

        try
        {
            token.MergeFrom(bytes);
        }
        catch (InvalidProtocolBufferException)
        {
            return false;
        }

        return token.Cluster != 0 && token.KeyspaceId != 0 && token.Parts.All(part => part.Position.Length is > 0 and <= KvLimits.MaxWatchPositionBytes);
    }
}
