using System.Buffers.Text;
using System.IO.Hashing;
using System.Text;
using Google.Protobuf;
using KvStore.Contracts.V1;

namespace KvStore.Contracts;

/// <summary>Session tokens as text, and the mark by which a token of another cluster is told. Part of the wire contract: a token travels between processes, and outlives versions.</summary>
public static class SessionTokens
{
    /// <summary>Never zero.</summary>
    public static ulong ClusterMark(string clusterId) => Math.Max(1, XxHash64.HashToUInt64(Encoding.UTF8.GetBytes(clusterId)));

    public static string ToText(SessionToken token) => Base64Url.EncodeToString(token.ToByteArray());

    /// <summary>False: the text is no token, or too long.</summary>
    public static bool TryParse(string text, out SessionToken token)
    {
        token = new SessionToken();
        if (text.Length > KvLimits.MaxSessionTokenBytes * 4L / 3 || !Base64Url.IsValid(text))
        {
            return false;
        }

        return TryParse(Base64Url.DecodeFromChars(text), out token);
    }

    /// <summary>False: the bytes are no token, or too long.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out SessionToken token)
    {
        token = new SessionToken();
        if (bytes.Length > KvLimits.MaxSessionTokenBytes)
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

        return token.Parts.All(part => part.Position.Length <= KvLimits.MaxSessionPositionBytes);
    }
}
