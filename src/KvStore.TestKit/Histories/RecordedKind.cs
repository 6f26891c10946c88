namespace KvStore.TestKit.Histories;

/// <summary>What a client asked for.</summary>
public enum RecordedKind
{
    /// <summary>Read the value, or the siblings, of a key.</summary>
    Get = 1,

    /// <summary>Write a value.</summary>
    Put = 2,

    /// <summary>Remove the key.</summary>
    Delete = 3,

    /// <summary>Write a value only if the key holds an expected one (or only if it is absent).</summary>
    CompareAndSet = 4,

    /// <summary>Append text to the value. KvStore does not offer it; recorded histories of other stores have it.</summary>
    Append = 5,
}

/// <summary>What a client learned about its operation.</summary>
public enum RecordedOutcome
{
    /// <summary>It took effect between its invocation and its return.</summary>
    Done = 1,

    /// <summary>It has had no effect and never will.</summary>
    NotDone = 2,

    /// <summary>It may have happened, or may yet happen.</summary>
    Unknown = 3,

    /// <summary>
    /// The comparison of a compare-and-set did not hold. Nothing was written, and unlike <see cref="NotDone"/> it is an observation: at some moment between
    /// invocation and return the key did not hold the expected value.
    /// </summary>
    Mismatched = 4,
}
